"""The exceptions that mean: the request cannot be served, and here is why."""


class Refused(Exception):
    """Bad input, said in one sentence: the thing, the value that was wrong, what would be right.

    The command line prints it without a traceback and leaves with exit code 2.
    """


class Unusable(Refused):
    """What a run stands on cannot be used: the disk is full, a checkpoint is damaged. Going on would hide it."""


class Undefined(Refused):
    """The samples are well formed, but the metric has no value for them; the sentence says why."""


class Unavailable(Refused):
    """What the number needs is not here (weights, an optional package); the sentence says what to do."""
