"""A bar for work that takes long: with `tqdm` if it is there, else our own. Nothing is drawn for work that is done at once."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, Protocol

from . import _html, _notebook, _status
from ._errors import DriveError
from ._text import count, plain, size

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Work that is done sooner is not worth a bar, in seconds.
_PATIENCE = 0.7

#: How long a look at the mount may take, in seconds.
_LOOK = 2.0


class Bar(Protocol):
    """A bar that can be drawn."""

    def draw(self, done: int, total: int, words: str) -> None:
        """Show how much is done; if `total` is 0, nobody knows how much there is."""

    def end(self, words: str | None) -> None:
        """Show how it ended; ``None``: it did not end well, and an error tells more."""


class _Tqdm:
    def __init__(self, label: str, kind: Any) -> None:
        self._label, self._kind = label, kind
        self._bar: Any = None

    def draw(self, done: int, total: int, words: str) -> None:
        if self._bar is None:
            # Not earlier: one that begins without a total stays a stub in notebooks.
            self._bar = self._kind(desc=self._label, total=total or None, unit="B", unit_scale=True, unit_divisor=1024)
        self._bar.total = total or None
        self._bar.n = done
        self._bar.set_postfix_str(words, refresh=True)

    def end(self, words: str | None) -> None:
        if self._bar is None:
            return
        if words is not None:
            self._bar.n = self._bar.total or self._bar.n
            self._bar.set_postfix_str(words, refresh=True)
        self._bar.close()


class _Page:
    def __init__(self, label: str) -> None:
        self._label = label
        self._shown = _notebook.Shown(_html.bar(label, -1, "…"), f"{label} …")

    def draw(self, done: int, total: int, words: str) -> None:
        if total:
            words = f"{size(done)} of {size(total)}, {words}"
        share = done / total if total else -1.0
        self._shown.replace(_html.bar(self._label, share, words), f"{self._label} {words}")

    def end(self, words: str | None) -> None:
        said = words or f"{self._label}: not finished"
        self._shown.replace(_html.note(said), said)


class _Line:
    _WIDTH = 100

    def __init__(self, label: str) -> None:
        self._label = label

    def draw(self, done: int, total: int, words: str) -> None:
        full = round(12 * done / total) if total else 0
        bar = f"[{'=' * full}{' ' * (12 - full)}] {size(done)}/{size(total)} " if total else ""
        self._write(f"{self._label} {bar}{plain(words)}"[: self._WIDTH].ljust(self._WIDTH))

    def end(self, words: str | None) -> None:  # noqa: ARG002 # whoever waited says how it ended
        self._write(" " * self._WIDTH + "\r")

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(f"\r{text}")
        sys.stderr.flush()


def _new(label: str) -> Bar | None:
    if _notebook.kernel() is not None:
        # Without the widgets, tqdm would warn and then draw lines of text.
        if _is_there("tqdm") and _is_there("ipywidgets"):
            return _Tqdm(label, import_module("tqdm.notebook").tqdm)
        return _Page(label)
    if not _notebook.is_terminal():
        return None
    return _Tqdm(label, import_module("tqdm").tqdm) if _is_there("tqdm") else _Line(label)


def _is_there(module: str) -> bool:
    return module in sys.modules or find_spec(module) is not None


class Watch:
    """Draws a bar of what a mount has still to do, while a command waits for it."""

    def __init__(
        self, label: str, mountpoint: str | None, of: Callable[[_status.Status], tuple[int, int, str]], *, end: str
    ) -> None:
        """Prepare to draw what `of` makes of a status: what is left of that which is under way, what is done of it, words.

        `end` is said when it ended well.
        """
        self._label, self._mountpoint, self._of, self._end = label, mountpoint, of, end
        self._began = time.monotonic()
        self._bar: Bar | None = None
        self._hidden = False
        self._most = 0

    def look(self) -> None:
        """Look at the mount, and draw."""
        if self._hidden or time.monotonic() - self._began < _PATIENCE:
            return
        if self._bar is None:
            self._bar = _new(self._label)
            self._hidden = self._bar is None
        if self._bar is None:
            return
        try:
            left, sent, words = self._of(_status.ask(self._mountpoint, timeout=_LOOK))
        except (DriveError, subprocess.TimeoutExpired):
            return  # It may be about to end. The command that waits for it says what is wrong, if anything is.
        self._most = max(self._most, left + sent)
        self._bar.draw(self._most - left, self._most, words)

    def end(self, *, well: bool) -> None:
        """Draw the end, if anything was drawn."""
        if self._bar is not None:
            what = f"{size(self._most)}, " if self._most else ""
            self._bar.end(f"{self._end} ({what}{time.monotonic() - self._began:.0f} s)" if well else None)


@contextmanager
def watching(
    label: str, mountpoint: str | None, of: Callable[[_status.Status], tuple[int, int, str]], *, end: str
) -> Iterator[Callable[[], None]]:
    """Give a function that looks and draws, to be called now and then."""
    watch = Watch(label, mountpoint, of, end=end)
    try:
        yield watch.look
    except BaseException:
        watch.end(well=False)
        raise
    watch.end(well=True)


def sending(status: _status.Status, below: str = "") -> tuple[int, int, str]:
    """Tell how much is still to be sent, of all or of what lies at or below a path in the mount."""
    unsent = status.unsent
    reason = next((f" ({item.reason})" for item in unsent.items if item.reason), "")
    items = [item for item in unsent.items if not below or item.path == below or item.path.startswith(below + "/")]
    sent = sum(item.sent for item in items)
    if below:
        left = sum(max(0, item.bytes - item.sent) for item in items)
        return left, sent, count(len(items), "entry", "entries") + reason
    return unsent.bytes, sent, count(unsent.entries, "entry", "entries") + reason


def fetching(status: _status.Status) -> tuple[int, int, str]:
    """Tell how much is still to be fetched before it is read."""
    jobs = [job for job in status.json.get("prefetches", ()) if job["state"] not in ("done", "stopped")]
    if not jobs or any(job["state"] == "finding" for job in jobs):
        return 0, 0, "looking for files"
    fits, here = ({of: sum(job[what][of] for job in jobs) for of in ("files", "bytes")} for what in ("fits", "here"))
    reason = next((f" ({job['reason']})" for job in jobs if job.get("reason")), "")
    words = f"{here['files']} of {count(fits['files'], 'file', 'files')}{reason}"
    return fits["bytes"] - here["bytes"], here["bytes"], words
