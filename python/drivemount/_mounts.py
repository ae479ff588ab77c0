"""Which mounts there are, and which one is meant.

The kernel's table is the list; nothing of ours could be wrong about it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ._errors import DriveError

#: A variable, so that tests can have a table of their own.
TABLE = "/proc/self/mountinfo"

#: Names of My Drive in its own root.
ALIASES = ("MyDrive", "My Drive")

#: Links followed before a path counts as a circle, as for the kernel.
_LINKS = 40

_KIND = "fuse.drivemount"


@dataclass(frozen=True)
class Mount:
    """A drive that is mounted.

    Attributes:
        mountpoint: where.
        source: what: ``google``, ``local:DIR`` or ``http://HOST:PORT``.
        user: the number of the user who mounted it.

    """

    mountpoint: str
    source: str
    user: int | None = None


#: Mountpoints that this process mounted, or was told to mount and found mounted; the last one last.
_here: dict[str, None] = {}


def table() -> list[Mount]:
    """All mounts of ours that this process sees, as proc(5) describes them; of several at one place, the topmost."""
    try:
        with open(TABLE, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found: dict[str, Mount] = {}
    for line in lines:
        head, _, tail = line.partition(" - ")
        place, kind = head.split(" ")[4], tail.split(" ")
        path = _unescape(place)
        found.pop(path, None)
        if kind[0] == _KIND:
            user = re.search(r"\buser_id=(\d+)", kind[-1])
            found[path] = Mount(path, _unescape(kind[1]), int(user[1]) if user else None)
    return list(found.values())


def at(path: str) -> Mount | None:
    """Return the mount whose mountpoint this is."""
    place = real(path)
    return next((mount for mount in table() if mount.mountpoint == place), None)


def real(path: str) -> str:
    """Resolve a mountpoint. Its folder is looked at and not it itself: a mount that is dead or hangs would not answer."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def around(path: str) -> tuple[Mount, str] | None:
    """Return the mount that a path lies in, and the path below its mountpoint; what of it exists does not matter.

    Links are followed on the way to a mount and not within it: its files are on the drive, which may not answer.
    """
    mounts = {mount.mountpoint: mount for mount in table()}

    def mountpoint(place: str) -> str | None:
        inside = [point for point in mounts if place == point or place.startswith(point.rstrip("/") + "/")]
        return max(inside, key=len) if inside else None

    place, links = "/", 0
    parts = os.path.join(os.getcwd(), path).split("/")[::-1]
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            place = os.path.dirname(place)
            continue
        place = os.path.join(place, part)
        if mountpoint(place) is not None or not os.path.islink(place):
            continue
        links += 1
        if links > _LINKS:
            return None
        target = os.readlink(place)
        place = "/" if target.startswith("/") else os.path.dirname(place)
        parts += target.split("/")[::-1]
    point = mountpoint(place)
    return None if point is None else (mounts[point], place[len(point) :].lstrip("/"))


def remember(mountpoint: str) -> None:
    """Note that this process works with a mount."""
    place = real(mountpoint)
    _here.pop(place, None)
    _here[place] = None


def mounted_here() -> list[str]:
    """Those mounts of this process that are still there; the last one last."""
    there = {mount.mountpoint for mount in table()}
    return [place for place in _here if place in there]


def meant() -> list[str]:
    """Return the mounts that are meant when none is named: those of this process; if it has none, the only one there is.

    Raises:
        DriveError: there are several, and none is of this process.

    """
    if here := mounted_here():
        return here
    mine = [mount.mountpoint for mount in table() if mount.user in (None, os.geteuid())]
    if len(mine) > 1:
        raise DriveError(f"which one? Mounted are {', '.join(mine)}, and none of them by this program", 2)
    return mine


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
