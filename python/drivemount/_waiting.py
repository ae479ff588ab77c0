"""Waits for the drive, with a bar where that takes long."""

from __future__ import annotations

import os
import time
from typing import Union

from . import _command, _mounts, _progress
from ._errors import NotSent, NotSentInTime

Path = Union[str, "os.PathLike[str]"]


def unmount(place: str, timeout: float | None) -> None:
    """Send everything and end a mount, in at most so many seconds."""
    line = ["unmount", *([] if timeout is None else ["--timeout", _command.milliseconds(timeout)]), "--", place]
    end = f"Everything is on the drive; {place} is unmounted"
    with _progress.watching("Sending", place, _progress.sending, end=end) as look:
        done = _command.run(line, meanwhile=look)
        if done.code == _command.UNSENT:
            raise NotSent(done.reason)
        if done.code != 0:
            raise done.error()


def flush(place: str | None, end: float | None) -> None:
    """Wait for a path, or all of the only mount, until a moment of the monotonic clock."""
    line = ["flush"]
    if end is not None:
        line += ["--timeout", _command.milliseconds(max(0.001, end - time.monotonic()))]
    if place is not None:
        line += ["--", place]
    below = _below(place)
    around = None if place is None else mountpoint(place)
    said = f"{place} is on the drive" if below else "Everything is on the drive"
    with _progress.watching("Sending", around, lambda now: _progress.sending(now, below), end=said) as look:
        done = _command.run(line, meanwhile=look)
        if done.code == _command.UNSENT:
            late = end is not None and time.monotonic() >= end
            raise (NotSentInTime if late else NotSent)(done.reason)
        if done.code != 0:
            raise done.error()


def mountpoint(path: Path) -> str:
    """Return the mountpoint of the mount that a path lies in; if there is none, the path, of which the program says so."""
    found = _mounts.around(os.fspath(path))
    return os.fspath(path) if found is None else found[0].mountpoint


def _below(place: str | None) -> str:
    """Return a path as `status` writes it: below its mountpoint, by the first of its names."""
    found = None if place is None else _mounts.around(place)
    parts = [] if found is None else found[1].split("/")
    return "/".join(parts[1:] if parts and parts[0] in _mounts.ALIASES else parts)
