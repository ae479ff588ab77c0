"""The drive in this runtime: mount it, know what has reached it, end it.

``mount`` and ``flush_and_unmount`` are those of hosted notebooks: same arguments, same words, same exceptions. What they do not
have: a path may hold spaces, unsent files are never thrown away, and the rest of this module.

All functions may be called from any thread; those that wait can be interrupted. The mount is a process of its own and outlives
this one.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

from . import _command, _mounts, _notebook, _progress, _session, _signin, _status
from ._errors import DriveError, NotSent, NotSentInTime, SignInRequired
from ._mounts import Mount
from ._status import Status
from ._text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._command import Option

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

#: The folder in which hosted notebooks have their drive. It is made where it is missing, so that their cells run unchanged.
_HOSTED = "/content"

#: Entries named in a message.
_NAMED = 3

#: What a mount says whose daemon is gone.
_DEAD = (errno.ENOTCONN, errno.ECONNABORTED)

#: Names of My Drive in its own root.
_ALIASES = ("MyDrive", "My Drive")


def mount(
    mountpoint: Path,
    force_remount: bool = False,
    timeout_ms: int = 120000,
    readonly: bool = False,
    *,
    source: str | None = None,
    account: str | None = None,
    **options: Option,
) -> None:
    """Mount your drive at a folder.

    If nobody is signed in and no option says how to, it asks: with a link and a box in a notebook, at the terminal else.

    Args:
        mountpoint: the folder; it is made if only it is missing. It must be empty.
        force_remount: if something is mounted there already, end that first. What it has not sent yet is sent before.
        timeout_ms: how long the drive may take to answer, in milliseconds. Time in which a person signs in does not count.
        readonly: mount without the right to change anything.
        source: what to mount: ``google`` (which may be left out), ``local:DIR`` or ``http://HOST:PORT``.
        account: which sign-in to use, by its name, if there are several.
        options: all others of ``drivemount mount --help``, with ``_`` for ``-``: ``cache_size="20G"``, ``token_file=path``,
            ``allow_other=True``; and those of a first sign-in: ``client_file``, ``client_id``, ``client_secret``.

    Raises:
        ValueError: it cannot be mounted; the text says why.
        SignInRequired: (a ``ValueError``) nobody is signed in, and nobody could be asked.
        TypeError: there is no such option.

    """
    path = os.path.expanduser(os.fspath(mountpoint))
    sign_in = {name: options.pop(name) for name in _signin.OPTIONS if name in options}
    if account is not None:
        options["account"] = account
    if readonly:
        options["read_only"] = True
    there = _mounts.at(path)
    if there is None and not force_remount and os.path.ismount(path) and os.path.isdir(os.path.join(path, _ALIASES[1])):
        # Somebody else's, such as the original.
        _say_already(path)
        return
    if there is not None and _is_alive(path):
        now = _look(path)
        if not force_remount and (now is None or now.state != "draining"):
            _say_already(path)
            _session.adopt(path)
            if now is not None:
                _say_difference(path, now, source, options, readonly=readonly)
            return
        _drain(path, now)
    _check(path, options)
    done = _mount(path, source, options, timeout_ms)
    if done.code == _command.SIGN_IN_REQUIRED and not _command.credentials_given(options):
        try:
            login(
                source,
                account,
                readonly=_is_set("read_only", options),
                **{"api_url": options.get("api_url"), **sign_in},
            )
        except DriveError as error:
            raise type(error)(f"mount failed: {error}", error.exit_code) from None
        done = _mount(path, source, options, timeout_ms)
    if done.code != 0:
        raise done.error("mount failed: ")
    _session.adopt(path)
    print(f"Mounted at {path}")
    # The first lines say where and how; what follows is of this mount alone, and mostly there is nothing.
    for line in done.output.splitlines():
        if line.startswith("note: ") or "left by the last mount" in line:
            print(line)


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
            _unmount(place, max(0.001, end - time.monotonic()))
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
        _flush(os.fspath(path), end)
        return
    for place in _meant():
        _flush(place, end)


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
    _status.ask(_mountpoint(path))
    yield
    flush(path)


def prefetch(path: Path) -> None:
    """Bring a file, or all files of a folder, into the cache of this machine, so that reading them takes no network.

    Raises:
        DriveError: it could not be brought; the text says why.

    """
    before = _status.ask(_mountpoint(path))
    with _progress.watching(
        "fetching", before.mountpoint, _progress.receiving(before.traffic.downloaded_bytes)
    ) as look:
        done = _command.run(["prefetch", "--", os.fspath(path)], meanwhile=look)
        if done.code != 0:
            raise done.error()
    if done.complaint:
        print(done.reason)  # Such as that it is more than the cache holds.


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
        return _status.ask(_mountpoint(path))
    places = _mounts.meant()
    return _status.ask(places[-1] if places else None)


def mounts() -> list[Mount]:
    """List the drives that are mounted on this machine."""
    return _mounts.table()


def login(source: str | None = None, account: str | None = None, *, readonly: bool = False, **options: Option) -> None:
    """Sign in to a drive, and keep that for later mounts; a mount that waits for a sign-in goes on by itself.

    Args:
        source: ``google`` (which may be left out) or ``http://HOST:PORT``.
        account: a name for this sign-in, if there are several.
        readonly: ask for the right to read only.
        options: ``client_file``, or ``client_id`` and ``client_secret``: the OAuth client, which is remembered.

    Raises:
        SignInRequired: access was not allowed, or nobody could be asked.
        DriveError: it failed for another reason.

    """
    email = _signin.sign_in(source, account, read_only=readonly, options=options)
    if not _notebook.can_ask():
        print(f"Signed in as {plain(email)}")  # A notebook shows it in the place of the link.


def _meant() -> Sequence[str | None]:
    """Return the mounts that are meant when none is named; without any, the program says what to do about that."""
    return _mounts.meant() or (None,)


def _say_already(path: str) -> None:
    print(
        f"Drive already mounted at {path}; to attempt to forcibly remount, "
        f'call drive.mount("{path}", force_remount=True).'
    )


def _look(path: str) -> Status | None:
    """Return how a mount fares, if it answers."""
    try:
        return _status.ask(path, timeout=10)
    except (DriveError, subprocess.TimeoutExpired):
        return None


def _say_difference(path: str, now: Status, source: str | None, options: dict[str, Option], *, readonly: bool) -> None:
    """Say what a mount that is there does not have of what is asked for."""
    differences = []
    if source is not None or options:
        # The program compares all that it was told. It mounts nothing where something is mounted.
        line, environment = _command.flags(options)
        where = ["--", *([] if source is None else [source]), path]
        said = _command.run(["mount", *line, *where], environment=environment).reason
        _, found, tail = said.partition("with other settings: ")
        if found:
            differences.append(tail.partition(". `drivemount status")[0])
        elif source is not None and source.rstrip("/") != now.source:
            differences.append(f"source is {now.source}, and not {source}")
    if not any("read-only" in difference for difference in differences) and now.read_only != readonly:
        differences.append("it is read-only" if now.read_only else "it is not read-only")
    if differences:
        print(plain(f"It differs from what you ask for: {'; '.join(differences)}."))


def _is_alive(path: str) -> bool:
    """Whether a mount has a daemon. One that is slow has; what is dead is taken away by the program when it mounts."""
    try:
        os.getxattr(path, "user.drivemount.control")
    except OSError as error:
        return error.errno not in _DEAD
    return True


def _drain(path: str, now: Status | None) -> None:
    """End a mount for another one. What cannot be sent is kept, and said."""
    if now is None:
        raise DriveError(
            f"mount failed: the mount at {path} does not answer, so it is not known what it has not sent; try again later"
        )
    try:
        # Without a sign-in nothing can be sent, and to wait for it would be for ever.
        _unmount(path, None if now.sign_in is None else 0.001)
    except NotSent as error:
        print(plain(str(error).splitlines()[0]))
    except DriveError as error:
        raise type(error)(f"mount failed: {error}", error.exit_code) from None


def _check(path: str, options: dict[str, Option]) -> None:
    """Refuse what the original refuses, in its words and order."""
    if os.path.islink(path):
        raise ValueError("Mountpoint must not be a symlink")
    # The kernel remembers a dead mount as a folder for a while.
    if not _is_alive(path):
        return
    if os.path.isdir(path) and not any(_is_set(name, options) for name in ("allow_non_empty", "import_existing")):
        names = sorted(os.listdir(path))
        if names:
            error = ValueError("Mountpoint must not already contain files")
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            held = ", ".join(names[:_NAMED]) + more
            _explain(error, f"{path} holds {held}. Mount at an empty folder, or move what is there away first.")
            raise error
    if not os.path.isdir(path) and os.path.exists(path):
        raise ValueError("Mountpoint must either be a directory or not exist")
    normal = os.path.normpath(path)
    folder = os.path.dirname(normal)
    if "/" in normal and not os.path.exists(folder):
        why = ""
        if folder == _HOSTED:
            try:
                os.mkdir(folder)
            except OSError as problem:
                why = f" ({problem.strerror})"
            else:
                return
        error = ValueError("Mountpoint must be in a directory that exists")
        _explain(error, f"{folder} does not exist{why}; make it with `mkdir -p {folder}`, or as the superuser.")
        raise error


def _is_set(name: str, options: dict[str, Option]) -> bool:
    if options.get(name) is not None:
        return bool(options[name])
    return os.environ.get("DRIVEMOUNT_" + name.upper(), "").lower() not in ("", "0", "n", "no", "f", "false", "off")


def _explain(error: ValueError, note: str) -> None:
    """Add to an error whose text is that of the original what one can do; shown from Python 3.11 on."""
    if hasattr(error, "add_note"):
        error.add_note(plain(note))


def _mount(path: str, source: str | None, options: dict[str, Option], timeout_ms: int) -> _command.Done:
    line, environment = _command.flags(options)
    where = ["--", *([] if source is None else [source]), path]
    try:
        done = _command.run(["mount", *line, *where], environment=environment, timeout=timeout_ms / 1000)
    except subprocess.TimeoutExpired:
        seconds = f"{timeout_ms / 1000:g}"
        raise DriveError(
            f"mount failed: timeout: the drive did not answer within {seconds} s; give it longer with timeout_ms=…", 7
        ) from None
    if done.code == _command.USAGE:
        for name in options:
            if f"unexpected argument '--{name.replace('_', '-')}" in done.complaint:
                raise TypeError(
                    f"mount() got an unexpected keyword argument '{name}'; `drivemount mount --help` lists the options"
                )
    return done


def _unmount(place: str, timeout: float | None) -> None:
    line = ["unmount", *([] if timeout is None else ["--timeout", _command.milliseconds(timeout)]), "--", place]
    with _progress.watching("sending", place, _progress.sending) as look:
        done = _command.run(line, meanwhile=look)
        if done.code == _command.UNSENT:
            raise NotSent(done.reason)
        if done.code != 0:
            raise done.error()


def _flush(place: str | None, end: float | None) -> None:
    line = ["flush"]
    if end is not None:
        line += ["--timeout", _command.milliseconds(max(0.001, end - time.monotonic()))]
    if place is not None:
        line += ["--", place]
    below = _below(place)
    mountpoint = None if place is None else _mountpoint(place)
    with _progress.watching("sending", mountpoint, lambda now: _progress.sending(now, below)) as look:
        done = _command.run(line, meanwhile=look)
        if done.code == _command.UNSENT:
            late = end is not None and time.monotonic() >= end
            raise (NotSentInTime if late else NotSent)(done.reason)
        if done.code != 0:
            raise done.error()


def _mountpoint(path: Path) -> str:
    """Return the mountpoint of the mount that a path lies in; if there is none, the path, of which the program says so."""
    found = _mounts.around(os.fspath(path))
    return os.fspath(path) if found is None else found[0].mountpoint


def _below(place: str | None) -> str:
    """Return a path as `status` writes it: below its mountpoint, by the first of its names."""
    found = None if place is None else _mounts.around(place)
    parts = [] if found is None else found[1].split("/")
    return "/".join(parts[1:] if parts and parts[0] in _ALIASES else parts)
