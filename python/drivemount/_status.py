"""How a mount fares, as an object: attributes, a dictionary, a few lines in a terminal, a small table in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _command, _html
from ._errors import DriveError
from ._text import count, plain, size

_Kind = TypeVar("_Kind")

#: Entries shown one by one.
_SHOWN = 5


@dataclass(frozen=True)
class Item:
    """An entry that the drive does not have as it is here.

    Attributes:
        path: below the mountpoint.
        state: ``queued``, ``uploading``, ``removing``, ``retrying`` or ``refused``.
        bytes: how many are to be sent; 0 if only its name or attributes differ.
        sent: how many of them the drive has taken.
        reason: why it was not sent yet.
        retry_in_seconds: when it is tried again.

    """

    path: str
    state: str
    bytes: int = 0
    sent: int = 0
    reason: str | None = None
    retry_in_seconds: int | None = None


@dataclass(frozen=True)
class Unsent:
    """What the drive does not have yet.

    Attributes:
        entries: how many entries differ.
        bytes: how many bytes would be lost with this machine.
        unsealed_bytes: how many of them are of files that are being written.
        items: the entries, the oldest change first; the first thousand of them.

    """

    entries: int = 0
    bytes: int = 0
    unsealed_bytes: int = 0
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Cache:
    """Bytes on the local disk: content of the drive, and content that waits to be sent; together at most `cap_bytes`."""

    dir: str = ""
    used_bytes: int = 0
    cap_bytes: int = 0
    staged_bytes: int = 0


@dataclass(frozen=True)
class Storage:
    """The drive's own storage; `total_bytes` is ``None`` if it has no limit."""

    used_bytes: int = 0
    total_bytes: int | None = None


@dataclass(frozen=True)
class Traffic:
    """What went over the network since it was mounted."""

    downloaded_bytes: int = 0
    uploaded_bytes: int = 0
    retries: int = 0


@dataclass(frozen=True)
class SignIn:
    """Why one must sign in again, and how."""

    reason: str = ""
    remedy: str = ""


class Status(Mapping[str, Any]):
    """How a mount fares, at the moment when it was asked.

    It is also what ``drivemount status --json`` prints: as a dictionary in :attr:`json`, and by key
    (``status["cache"]["used_bytes"]``).
    """

    def __init__(self, json: Mapping[str, Any]) -> None:
        """Take what the program said."""
        self._json = dict(json)

    @property
    def json(self) -> dict[str, Any]:
        """All that the program said."""
        return self._json

    @property
    def mountpoint(self) -> str:
        """Where it is mounted."""
        return str(self._json.get("mountpoint", ""))

    @property
    def source(self) -> str:
        """What is mounted: ``google``, ``local:DIR`` or ``http://HOST:PORT``."""
        return str(self._json.get("source", ""))

    @property
    def account(self) -> str:
        """Whose drive it is."""
        return str(self._json.get("account", ""))

    @property
    def version(self) -> str:
        """Version of the program that serves it."""
        return str(self._json.get("version", ""))

    @property
    def pid(self) -> int:
        """Process number of that."""
        return int(self._json.get("pid", 0))

    @property
    def state(self) -> str:
        """``mounted``, ``draining`` or ``sign-in required``."""
        return str(self._json.get("state", ""))

    @property
    def read_only(self) -> bool:
        """Nothing can be changed."""
        return bool(self._json.get("read_only", False))

    @property
    def since(self) -> str:
        """When it was mounted, as RFC 3339."""
        return str(self._json.get("since", ""))

    @property
    def unsent(self) -> Unsent:
        """What the drive does not have yet."""
        unsent = dict(self._json.get("unsent", {}))
        unsent["items"] = tuple(_pick(Item, item) for item in unsent.get("items", ()))
        return _pick(Unsent, unsent)

    @property
    def at_risk_bytes(self) -> int:
        """How many bytes would be lost with this machine."""
        return self.unsent.bytes

    @property
    def synced(self) -> bool:
        """Everything is on the drive."""
        unsent = self.unsent
        return unsent.entries == 0 and unsent.bytes == 0

    @property
    def cache(self) -> Cache:
        """The local disk."""
        return _pick(Cache, self._json.get("cache", {}))

    @property
    def drive(self) -> Storage:
        """The drive's storage."""
        return _pick(Storage, self._json.get("drive", {}))

    @property
    def traffic(self) -> Traffic:
        """The network."""
        return _pick(Traffic, self._json.get("traffic", {}))

    @property
    def sign_in(self) -> SignIn | None:
        """Why one must sign in again, if so."""
        return _pick(SignIn, self._json["sign_in"]) if self._json.get("sign_in") else None

    @property
    def conflicts(self) -> list[dict[str, Any]]:
        """Edits that collided with others; both versions were kept."""
        return list(self._json.get("conflicts", ()))

    @property
    def set_aside(self) -> list[dict[str, Any]]:
        """Content that cannot be sent and is kept on this machine."""
        return list(self._json.get("set_aside", ()))

    @property
    def unread(self) -> list[dict[str, Any]]:
        """Files that could not be read when a program tried last."""
        return list(self._json.get("unread", ()))

    def __getitem__(self, key: str) -> Any:
        """Return what the program said under this name."""
        return self._json[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of what the program said."""
        return iter(self._json)

    def __len__(self) -> int:
        """Return how many names that are."""
        return len(self._json)

    def __repr__(self) -> str:
        """Return some lines for a terminal."""
        return "\n".join(plain(line) for line in self._lines())

    def _repr_html_(self) -> str:
        return _html.status(self)

    def _lines(self) -> Iterator[str]:
        unsent, cache, drive, traffic = self.unsent, self.cache, self.drive, self.traffic
        yield f"{self.mountpoint}  {self.source}  ({', '.join(self.words())})"
        yield f"at risk  {self.risk()}"
        for item in unsent.items[:_SHOWN]:
            yield f"         {item_line(item)}"
        if unsent.entries > _SHOWN:
            yield f"         and {unsent.entries - _SHOWN} more"
        for line in self.notices():
            yield f"         {line}"
        yield f"traffic  {size(traffic.downloaded_bytes)} received, {size(traffic.uploaded_bytes)} sent"
        yield f"cache    {size(cache.used_bytes)} of {size(cache.cap_bytes)}"
        total = "no limit" if drive.total_bytes is None else f"of {size(drive.total_bytes)}"
        yield f"drive    {size(drive.used_bytes)} used, {total}"
        yield f"account  {self.account}"
        if sign_in := self.sign_in:
            yield f"sign-in  required: {sign_in.reason}; {sign_in.remedy}; here: {self.login_line()}"

    def words(self) -> list[str]:
        """Return the state in words."""
        return [self.state, *(["read-only"] if self.read_only else [])]

    def risk(self) -> str:
        """Say what is at risk."""
        if self.synced:
            return "nothing: everything is on the drive"
        unsent = self.unsent
        open_ = f", {size(unsent.unsealed_bytes)} of it being written" if unsent.unsealed_bytes else ""
        return f"{size(unsent.bytes)} in {count(max(1, unsent.entries), 'entry', 'entries')}{open_}"

    def login_line(self) -> str:
        """Return the line of Python that signs in again."""
        return f"drive.login({'' if self.source == 'google' else repr(self.source)})"

    def notices(self) -> Iterator[str]:
        """Say what became of edits that could not simply be sent, and what could not be read."""
        for conflict in self.conflicts:
            yield f'conflict: {conflict.get("path")} has their version, yours is "{conflict.get("copy")}" beside it'
        for aside in self.set_aside:
            yield f"not sent: {aside.get('path')} {aside.get('why')}; kept in {aside.get('kept')}"
        for unread in self.unread:
            yield f"not read: {unread.get('path')}: {unread.get('reason')}"


def item_line(item: Item) -> str:
    """Say how an entry fares, in a line."""
    of = f"  {size(item.sent)} of {size(item.bytes)}" if item.sent else f"  {size(item.bytes)}" if item.bytes else ""
    reason = f"  {item.reason}" if item.reason else ""
    again = "" if item.retry_in_seconds is None else f"; again in {item.retry_in_seconds} s"
    return f"{item.state:<9} {item.path}{of}{reason}{again}"


def ask(path: str | None, timeout: float | None = None) -> Status:
    """Ask the mount around a path, or the only one.

    Raises:
        DriveError: there is none, or it does not answer.
        subprocess.TimeoutExpired: not within `timeout` seconds.

    """
    done = _command.run(["status", "--json", *([] if path is None else ["--", path])], timeout=timeout)
    if done.code != 0:
        raise done.error()
    try:
        return Status(json.loads(done.output))
    except ValueError as error:
        raise DriveError(f"`drivemount status --json` said what is no JSON ({error})") from error


def _pick(kind: type[_Kind], values: Mapping[str, Any]) -> _Kind:
    """Make a dataclass of those values that it knows: a newer program may say more."""
    known = kind.__annotations__
    return kind(**{name: value for name, value in values.items() if name in known})
