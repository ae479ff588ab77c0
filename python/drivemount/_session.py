"""What is said to people beside what they ask for: that files cannot be sent, and that bytes are at risk when they leave."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time

from . import _mounts, _notebook, _status
from ._errors import DriveError
from ._text import count, plain, size

#: Between two looks after cells, in seconds. A look costs about as much as starting a small program.
EVERY = 10.0

#: How long a look may take, in seconds: whoever leaves or runs a cell does not wait for a mount that hangs.
_LOOK = 1.5

#: Entries named in a line.
_NAMED = 3

_owner = 0
_last_look = 0.0
_said: set[tuple[str, str, str]] = set()
_seen_before: set[tuple[str, str, str]] = set()


def adopt(mountpoint: str) -> None:
    """From now on this process cares for a mount."""
    global _owner, _last_look
    _mounts.remember(mountpoint)
    if _owner == os.getpid():
        return
    _owner = os.getpid()
    _last_look = time.monotonic()
    atexit.register(warn_at_exit)
    _notebook.after_each_cell(look)


def look() -> None:
    """Say once of each mount of this process what cannot be sent. Cheap, and silent when all is well."""
    global _last_look
    if _owner != os.getpid() or time.monotonic() - _last_look < EVERY:
        return
    for mountpoint in _mounts.mounted_here():
        for line in _news(mountpoint):
            sys.stderr.write(f"drivemount: {plain(line)}\n")
    sys.stderr.flush()
    _last_look = time.monotonic()


def _news(mountpoint: str) -> list[str]:
    try:
        status = _status.ask(mountpoint, timeout=_LOOK)
    except (DriveError, subprocess.TimeoutExpired, OSError):
        return []  # `mount`, `flush` and `status` say what is wrong with the mount itself.
    lines = []
    if status.sign_in is not None and _new(mountpoint, "", "sign-in"):
        lines.append(f"sign-in required at {mountpoint}: {status.sign_in.reason}; {status.login_line()} signs in again")
    elif status.sign_in is None:
        _said.discard((mountpoint, "", "sign-in"))
    failed = [item for item in status.unsent.items if item.reason and _lasts(mountpoint, item)]
    fresh = [item for item in failed if _new(mountpoint, item.path, item.reason or "")]
    if fresh:
        named = [f"{item.path} ({item.reason})" for item in fresh[:_NAMED]]
        more = f" and {len(fresh) - _NAMED} more" if len(fresh) > _NAMED else ""
        files = count(len(fresh), "file", "files")
        lines.append(
            f"{files} cannot be sent: {', '.join(named)}{more}. Kept on this machine and tried again; "
            "drive.status() shows how it fares"
        )
    for line in status.notices():
        if _new(mountpoint, "", line):
            lines.append(line)  # what was said is noted on the way
    return lines


def _new(mountpoint: str, path: str, what: str) -> bool:
    key = (mountpoint, path, what)
    if key in _said:
        return False
    _said.add(key)
    return True


def _lasts(mountpoint: str, item: _status.Item) -> bool:
    """Whether a failure is worth a word: what is merely tried again counts when it is seen a second time."""
    key = (mountpoint, item.path, "seen")
    before = key in _seen_before
    _seen_before.add(key)
    return item.state == "refused" or before


def warn_at_exit() -> None:
    """Say what is at risk when this process ends. The mount itself goes on."""
    if _owner != os.getpid():
        return  # A fork, which has no mounts of its own.
    for mountpoint in _mounts.mounted_here():
        try:
            status = _status.ask(mountpoint, timeout=_LOOK)
        except (DriveError, subprocess.TimeoutExpired, OSError):
            continue
        if not status.synced:
            sys.stderr.write(warning(status) + "\n")
            sys.stderr.flush()


def warning(status: _status.Status) -> str:
    """Say what is at risk, and what becomes of it."""
    unsent = status.unsent
    files = count(max(1, unsent.entries), "file", "files")
    what = "this kernel" if _notebook.kernel() is not None else "this program"
    return plain(
        f"drivemount: {size(unsent.bytes)} in {files} at {status.mountpoint} are not on the drive yet. "
        f"The mount outlives {what} and goes on sending, but if this machine is lost before that, they are lost with it. "
        "`drivemount flush` waits until all is on the drive"
    )
