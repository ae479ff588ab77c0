"""Runs the program `drivemount`: all that this package does goes through its commands.

Arguments are lists, never a line for a shell, and hold no secrets: other users of the machine can see them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable, Union

from . import _binary
from ._errors import DriveError, SignInRequired

#: What an option of a command may be.
Option = Union[str, int, float, bool, "os.PathLike[str]", Sequence[str], None]

#: Options of which a mount takes one: how it signs in without asking anybody.
CREDENTIALS = (
    "token",
    "token_file",
    "token_command",
    "credentials",
    "service_account_file",
    "application_default",
    "rclone_remote",
)

#: Options whose values are secrets, or hold some: they go by the environment.
_SECRET = ("token", "token_command", "client_secret")

USAGE = 2
SIGN_IN_REQUIRED = 3
UNSENT = 5


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    complaint: str

    @property
    def reason(self) -> str:
        """What it complained of, without its name before it."""
        text = self.complaint.strip() or self.output.strip() or f"`drivemount` ended with exit code {self.code}"
        if self.code == USAGE:
            text = text.partition("\n\n")[0]  # What follows is how to use the command line.
        for prefix in ("drivemount: ", "error: "):
            text = text[len(prefix) :] if text.startswith(prefix) else text
        return text

    def error(self, prefix: str = "") -> DriveError:
        """Make an error of it."""
        kind = SignInRequired if self.code == SIGN_IN_REQUIRED else DriveError
        return kind(prefix + self.reason, self.code)


def start(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command whose input, output and complaints are pipes.

    An interrupt at a terminal, and that of a notebook, is sent to all processes of a group. It is for us: what it means for the
    command is decided here.
    """
    return subprocess.Popen(
        [_binary.find(), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_without_colors(os.environ if environment is None else environment),
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _without_colors(environment: Mapping[str, str]) -> dict[str, str]:
    """Ask for plain text: what a command says becomes part of an error. Kernels force colours upon all that they start."""
    forced = ("CLICOLOR_FORCE", "FORCE_COLOR")
    return {**{name: value for name, value in environment.items() if name not in forced}, "NO_COLOR": "1"}


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    meanwhile: Callable[[], None] | None = None,
    every: float = 0.5,
) -> Done:
    """Run a command to its end; calls `meanwhile` every so many seconds.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was ended.

    """
    end = None if timeout is None else time.monotonic() + timeout
    process = start(arguments, environment)
    try:
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            wait = left if meanwhile is None else every if left is None else min(every, left)
            try:
                output, complaint = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                if end is not None and time.monotonic() >= end:
                    raise
                if meanwhile is not None:
                    meanwhile()
            else:
                return Done(process.returncode, output, complaint)
    except BaseException:
        # An interrupt too: whoever does not wait any more wants nothing left behind that does.
        stop(process)
        raise


def stop(process: subprocess.Popen[str], patience: float = 2.0) -> None:
    """End a command, and release its pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):  # What was not read or written has nobody to go to.
                pipe.close()


def milliseconds(seconds: float) -> str:
    """Write a time as the program reads it; none is too short for it."""
    return f"{max(1, round(seconds * 1000))}ms"


def flags(options: Mapping[str, Option]) -> tuple[list[str], dict[str, str]]:
    """Turn options into the flags of a command, and the environment that it gets.

    ``cache_size="20G"`` becomes ``--cache-size=20G``, ``allow_other=True`` becomes ``--allow-other``. ``False`` outdoes a
    variable or the settings file that say otherwise. ``None`` says nothing.
    """
    line: list[str] = []
    environment = dict(os.environ)
    for name, value in options.items():
        flag, variable = "--" + name.replace("_", "-"), "DRIVEMOUNT_" + name.upper()
        if value is None:
            continue
        if value is True:
            line.append(flag)
        elif value is False:
            environment[variable] = "false"
        elif name in _SECRET:
            environment[variable] = str(value)
        elif isinstance(value, (list, tuple)):
            line.extend(f"{flag}={one}" for one in value)
        else:
            line.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    if any(options.get(name) is not None for name in _SECRET if name in CREDENTIALS):
        # The one that is given counts, whatever else the environment holds. The program does this for flags by itself.
        for name in (*CREDENTIALS, "account"):
            if options.get(name) is None:
                environment.pop("DRIVEMOUNT_" + name.upper(), None)
    return line, environment


def credentials_given(options: Mapping[str, Option]) -> bool:
    """Whether a mount is told how to sign in, so that asking somebody would change nothing."""
    return any(options.get(name) or os.environ.get("DRIVEMOUNT_" + name.upper()) for name in CREDENTIALS)
