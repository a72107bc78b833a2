"""How fast a model samples: a cell (a model, its weights, a dataset, a device) on some backends -> a record.

terms.py      what is asked for: backends, scenarios, budgets
subject.py    what is measured, and what is true of it on every machine
lanes.py      all backends, each in processes of its own, timed in turns
cell.py       the record
sweep.py      many samplers of the same weights: quality against time; all cells of a suite
"""

from genbench.bench.cell import Quality, speed
from genbench.bench.subject import Subject, facts
from genbench.bench.sweep import draw, points, speed_of_plan, sweep
from genbench.bench.terms import Terms

__all__ = ["Quality", "Subject", "Terms", "draw", "facts", "points", "speed", "speed_of_plan", "sweep"]
