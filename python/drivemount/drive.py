"""The drive in this runtime: mount it, know what has reached it, end it.

``mount`` and ``flush_and_unmount`` are those of hosted notebooks: same arguments, same words, same exceptions. What they do not
have: a path may hold spaces, unsent files are never thrown away, and the rest of this module.

All functions may be called from any thread; those that wait can be interrupted. The mount is a process of its own and outlives
this one.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

from . import _command, _mounts, _progress, _status, _waiting
from ._errors import DriveError, NotSent, NotSentInTime, SignInRequired
from ._mounting import mount
from ._mounts import Mount
from ._signin import login
from ._status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


__all__ = [
    "DriveError",
    "Mount",
    "NotSent",
    "NotSentInTime",
    "SignInRequired",
    "Status",
    "checkpoint",
    "flush",
    "flush_and_unmount",
    "login",
    "mount",
    "mounts",
    "prefetch",
    "refresh",
    "status",
    "wait_synced",
]

Path = Union[str, "os.PathLike[str]"]


def flush_and_unmount(timeout_ms: int = 24 * 60 * 60 * 1000) -> None:
    """Send everything to the drive, then end the mount.

    Ends what this program mounted; if it mounted nothing, the only mount there is.

    Args:
        timeout_ms: end the mount after this time in any case, in milliseconds. What is not sent then is kept, and sent by the
            next mount of the same drive on this machine.

    Raises:
        ValueError: not everything could be sent, or it could not be ended; the text says why.

    """
    places = _mounts.meant()
    if not places:
        print("Drive not mounted, so nothing to flush and unmount.")
        return
    end = time.monotonic() + timeout_ms / 1000
    failures: list[DriveError] = []
    for place in reversed(places):
        try:
            _waiting.unmount(place, max(0.001, end - time.monotonic()))
        except DriveError as error:
            failures.append(error)
    if failures:
        first = failures[0]
        raise type(first)("flush_and_unmount failed: " + "\n".join(map(str, failures)), first.exit_code)


def flush(path: Path | None = None, timeout: float | None = None) -> None:
    """Wait until the drive has everything that was saved so far; the mount stays as it is.

    Args:
        path: a file or folder: wait only for what is at or below it. Without it, for all that this program mounted.
        timeout: give up waiting after this many seconds. What is left is still sent.

    Raises:
        NotSentInTime: (a ``TimeoutError`` and ``ValueError``) the time was too short; the text names what is left.
        NotSent: (a ``ValueError``) something cannot be sent; the text names it and says why.
        DriveError: (a ``ValueError``) the path is in no mount, or the mount does not answer.

    """
    end = None if timeout is None else time.monotonic() + timeout
    if path is not None:
        _waiting.flush(os.fspath(path), end)
        return
    for place in _meant():
        _waiting.flush(place, end)


def wait_synced(path: Path, timeout: float | None = None) -> None:
    """Wait until the file, or all of the folder, is on the drive. As :func:`flush`, but the path must exist.

    Raises:
        FileNotFoundError: there is nothing at that path.

    """
    os.lstat(path)
    flush(path, timeout)


@contextmanager
def checkpoint(path: Path) -> Iterator[None]:
    """Save within this, and know that it is on the drive.

        with drive.checkpoint("/content/drive/run/last.pt"):
            torch.save(model.state_dict(), "/content/drive/run/last.pt")

    It is left only when everything that was written at or below `path` is on the drive. If the block raises, that goes on
    unchanged and at once; what it wrote is sent all the same.

    Raises:
        NotSent: it cannot be sent; the text says why.
        DriveError: the path is in no mount, which is said before anything is computed, or its mount does not answer.

    """
    _status.ask(_waiting.mountpoint(path))
    yield
    flush(path)


def prefetch(path: Path) -> None:
    """Bring a file, or all files of a folder, into the cache of this machine, so that reading them takes no network.

    Raises:
        DriveError: some of it could not be brought, or is more than the cache holds; the text says why. The rest is there.

    """
    said = f"{os.fspath(path)} is in the cache"
    with _progress.watching("Fetching", _waiting.mountpoint(path), _progress.fetching, end=said) as look:
        done = _command.run(["prefetch", "--", os.fspath(path)], meanwhile=look)
        if done.code != 0:
            raise done.error()


def refresh(path: Path | None = None) -> None:
    """Look at once for changes that were made elsewhere; by themselves they arrive within seconds.

    Args:
        path: a file or folder that must be right. Without it, all that this program mounted.

    Raises:
        DriveError: the drive could not be asked.

    """
    for place in _meant() if path is None else [os.fspath(path)]:
        done = _command.run(["refresh", *([] if place is None else ["--", place])])
        if done.code != 0:
            raise done.error()


def status(path: Path | None = None) -> Status:
    """Tell how a mount fares. A notebook shows it as a small table.

    Args:
        path: the mountpoint, or any path in the mount. Without it, what this program mounted last; if it mounted nothing, the
            only mount there is.

    Raises:
        DriveError: nothing is mounted, or the mount does not answer.

    """
    if path is not None:
        return _status.ask(_waiting.mountpoint(path))
    places = _mounts.meant()
    return _status.ask(places[-1] if places else None)


def mounts() -> list[Mount]:
    """List the drives that are mounted on this machine."""
    return _mounts.table()


def _meant() -> Sequence[str | None]:
    """Return the mounts that are meant when none is named; without any, the program says what to do about that."""
    return _mounts.meant() or (None,)
