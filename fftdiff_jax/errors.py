"""What is meant for the person at the keyboard, and what that person may send."""

from __future__ import annotations

from types import FrameType
from typing import NoReturn


class UserError(ValueError):
    """Something the user can mend: one line that says what is wrong, where, and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, heard as Ctrl-C is."""


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """A handler of SIGTERM."""
    raise Terminated
