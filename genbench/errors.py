"""The exceptions that mean: the request cannot be served, and here is why."""


class Refused(Exception):
    """Bad input, said in one sentence: the thing, the value that was wrong, what would be right.

    The command line prints it without a traceback and leaves with exit code 2.
    """


class CannotWrite(Refused):
    """The disk is full, the folder is closed or the like: nothing that follows can be kept either."""


class Undefined(Refused):
    """The samples are well formed, but the metric has no value for them; the sentence says why."""
