"""Checks of the files that a command is given."""

from __future__ import annotations

from pathlib import Path


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths exist and are the same file."""
    return first.exists() and second.exists() and first.samefile(second)
