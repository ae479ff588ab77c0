"""Mounts: what hosted notebooks do, in their words and their order, and what they do not.

What is mounted there already is never ended unless that is asked for, and never with anything unsent.
"""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING, Union

from . import _command, _mounts, _session, _signin, _status, _waiting
from ._errors import DriveError, NotSent
from ._text import plain

if TYPE_CHECKING:
    from ._command import Option
    from ._status import Status

Path = Union[str, "os.PathLike[str]"]

#: The folder in which hosted notebooks have their drive. It is made where it is missing, so that their cells run unchanged.
_HOSTED = "/content"

#: Entries named in a message.
_NAMED = 3

#: What a mount says whose daemon is gone.
_DEAD = (errno.ENOTCONN, errno.ECONNABORTED)


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
    if (
        there is None
        and not force_remount
        and os.path.ismount(path)
        and os.path.isdir(os.path.join(path, _mounts.ALIASES[1]))
    ):
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
            _signin.login(
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
        _waiting.unmount(path, None if now.sign_in is None else 0.001)
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
