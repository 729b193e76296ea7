"""How a command ends where something is wrong: one sentence, exit status 2, no traceback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended
TERMINATED = 143  # and for one that SIGTERM ended


class UserError(click.ClickException):
    """A sentence for the user, and exit status 2."""

    exit_code = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM came; whatever cleans up after Ctrl-C cleans up after it."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the library and the system say into a sentence without a traceback."""
    try:
        yield
    except BrokenPipeError:
        raise  # `lcfast summary MODEL | head`: click ends quietly
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{place}{error.strerror or error}") from error
    except (ValueError, TypeError, MemoryError) as error:
        raise UserError(str(error) or type(error).__name__) from error


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end what runs here as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C or SIGTERM cut off what is cleaned up here."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
