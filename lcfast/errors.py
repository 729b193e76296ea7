"""The errors that are lcfast's own, and how several problems are told in one."""

from collections.abc import Sequence


class ModelFileError(ValueError):
    """A model file that cannot be used: damaged, refused for safety, or of a kind not supported.

    The message is one sentence that names the file, the place inside it, what was found there,
    and what to do. Where the system fails to give the file at all (it does not exist, it may
    not be read), its own OSError is raised instead.

    Examples
    --------
    >>> from lcfast.errors import ModelFileError
    >>> issubclass(ModelFileError, ValueError)
    True
    """


def listed(problems: Sequence[str]) -> str:
    """Return how many problems there are, and each in a line of its own.

    Examples
    --------
    >>> print(listed(["too long", "too wide"]))
    2 problems:
      - too long
      - too wide
    """
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    return f"{count}:" + "".join(f"\n  - {problem}" for problem in problems)
