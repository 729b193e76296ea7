"""The error of model files, and how errors show values and lists of problems."""

import reprlib
from collections.abc import Sequence


class ModelFileError(ValueError):
    """A model file that cannot be used: corrupt, refused for safety, or of an unsupported kind.

    The message names the file, the location inside it, what was found there and what to do. A
    file that the operating system cannot read at all (missing, no permission) raises OSError.

    Examples
    --------
    >>> from lcfast.errors import ModelFileError
    >>> issubclass(ModelFileError, ValueError)
    True
    """


_LONGEST = 80  # characters of a value in an error message


def quoted(value: object) -> str:
    """Return the repr of a value for an error message, shortened to about 80 characters.

    Large containers are abbreviated without building their whole repr.

    Examples
    --------
    >>> quoted("dense"), len(quoted("x" * 1000))
    ("'dense'", 82)
    """
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}...")
    text = reprlib.repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def listed(problems: Sequence[str]) -> str:
    """Return the number of problems, followed by one line for each.

    Examples
    --------
    >>> print(listed(["too long", "too wide"]))
    2 problems:
      - too long
      - too wide
    """
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    return f"{count}:" + "".join(f"\n  - {problem}" for problem in problems)
