"""What `make bench` says of two runs."""

import json

import pytest

from tests.benchmarks.compare import compared, main


def run(cpu="one", **medians):
    """Rounds within 1% of each median; a list is a run of few rounds."""
    benchmarks = []
    for name, median in medians.items():
        data = median if isinstance(median, list) else [median * (1 + 0.01 * (k - 10) / 10) for k in range(21)]
        stats = {"median": sorted(data)[len(data) // 2], "min": min(data), "data": data}
        benchmarks.append({"fullname": name, "stats": stats})
    info = {"node": "here", "machine": "x", "python_version": "3.11", "cpu": {"brand_raw": cpu, "count": 2}}
    return {"machine_info": info, "datetime": "2026-01-01T00:00:00", "benchmarks": benchmarks}


def test_what_moved_is_what_its_noise_does_not_explain():
    rows = compared(
        run(same=1.0, slower=1.0, faster=1.0, slightly=1.0, busy=1.0, few=[1.0, 1.0], gone=1.0),
        run(same=1.001, slower=1.2, faster=0.5, slightly=1.03, busy=[0.99] + [1.5] * 20, few=[3.0, 3.0], new=1.0),
    )
    verdicts = {name: verdict for name, *_, verdict in rows}
    assert verdicts == {
        "same": "within its noise",
        "slower": "SLOWER",
        "faster": "faster",
        "slightly": "within its noise",
        "busy": "within its noise",
        "few": "too few rounds to say",
        "gone": "gone",
        "new": "new",
    }
    assert rows[0][0] == "few", "the largest change first"
    assert next(row for row in rows if row[0] == "slower")[3] == pytest.approx(1.2)


def test_the_first_run_is_the_baseline_and_other_machines_are_not_compared(tmp_path, capsys):
    latest, baseline = tmp_path / "latest.json", tmp_path / "baseline.json"
    latest.write_text(json.dumps(run(a=1.0)))
    main(latest, baseline)
    assert "first run here" in capsys.readouterr().out
    latest.write_text(json.dumps(run(a=2.0)))
    main(latest, baseline)
    shown = capsys.readouterr().out
    assert "2.00  SLOWER" in shown
    assert "1 of 1 moved" in shown
    latest.write_text(json.dumps(run(cpu="two", a=2.0)))
    main(latest, baseline)
    assert "another machine (cpu.brand_raw differs)" in capsys.readouterr().out
