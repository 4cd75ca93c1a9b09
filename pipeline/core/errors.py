"""The one error a user can cause."""


class PipelineError(Exception):
    """A foreseen fault: one sentence that says what is wrong, where, and what to run or change.

    Stages print it without a traceback and exit with 1; every other exception is a bug and keeps its traceback.
    """
