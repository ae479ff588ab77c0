"""What is there to show things in: a notebook, a terminal, or nothing. IPython is used if it runs, and never needed."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Callable


def shell() -> Any | None:
    """Return the IPython that this code runs in."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def kernel() -> Any | None:
    """Return the kernel of a notebook that this code runs in."""
    return getattr(shell(), "kernel", None)


def can_ask() -> bool:
    """Whether the notebook has somebody to ask: one that is executed by a program has not."""
    return kernel() is not None and bool(getattr(kernel(), "_allow_stdin", True))


def is_terminal() -> bool:
    """Whether a person sits at a terminal."""
    try:
        return kernel() is None and sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False  # Closed, or replaced by something that is no file.


class Shown:
    """HTML in the output of a cell, which can be replaced by other HTML."""

    def __init__(self, html: str, text: str) -> None:
        """Show it; `text` stands for it where no HTML is shown."""
        self._display = import_module("IPython.display")
        self._handle = self._display.display(self._bundle(html, text), raw=True, display_id=True)

    def replace(self, html: str, text: str) -> None:
        """Show other HTML at its place."""
        self._handle.update(self._bundle(html, text), raw=True)

    @staticmethod
    def _bundle(html: str, text: str) -> dict[str, str]:
        return {"text/html": html, "text/plain": text}


def after_each_cell(look: Callable[[], None]) -> bool:
    """Call `look` whenever a cell has run. Says whether there are cells."""
    ip = shell()
    if ip is None:
        return False

    # IPython hands over a result if the function takes one.
    def hook(*_result: object) -> None:
        look()

    ip.events.register("post_run_cell", hook)
    return True
