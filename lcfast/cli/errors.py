"""How commands end on errors and signals: one message, an exit status, no traceback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

INTERRUPTED = 130  # the exit status that shells report for SIGINT
TERMINATED = 143  # and for SIGTERM


class UserError(click.ClickException):
    """An error message for the user; exit status 2."""

    exit_code = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. A KeyboardInterrupt, so that the same code cleans up after both."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors of the library and the system into a UserError without a traceback."""
    try:
        yield
    except BrokenPipeError:
        raise  # as in `lcfast summary MODEL | head`; click exits without a message
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{path}{error.strerror or error}") from error
    except (ValueError, TypeError, MemoryError) as error:
        raise UserError(str(error) or type(error).__name__) from error


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM interrupt the block as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM in the block, so that a cleanup completes."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
