"""What goes wrong on the demo's page is a line: for its visitor, and for its owner in the log."""

from __future__ import annotations

import logging
import os
import traceback
from typing import Any

import gradio as gr

from fftdiff_jax.commands.command_line import explain
from fftdiff_jax.errors import UserError

_log = logging.getLogger(__name__)


class Blocks(gr.Blocks):
    """Gradio's, but what is wrong with the values of a call is one line for who made it."""

    async def process_api(self, *args: Any, **named: Any) -> dict[str, Any]:
        """See Gradio; `Page.restore` raises nothing, so an error is one of the values."""
        try:
            return await super().process_api(*args, **named)
        except Exception as error:
            line = " ".join(str(error).split())[:200] or type(error).__name__
            _log.warning("a call failed (%s: %s)", type(error).__name__, line)
            raise gr.Error(f"these values cannot be used ({line})", print_exception=False) from None


def line_of(error: Exception) -> str:
    """One line for the visitor; of a mistake of this program, one for its owner in the log."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "does not fit into memory; shrink the photo first"
    known = explain(error)
    if known is None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        place = f"{os.path.basename(last.filename)}, line {last.lineno}"
        _log.error("a mistake of this program (%s; %s)", reason, place)
    return known or "a mistake of this program; its log says more"
