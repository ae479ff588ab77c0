"""Signing in: `drivemount login --json` does it, this shows its link and hands it what a person pastes.

Three ways end it: the redirect of a browser on this machine reaches the program by itself; a person pastes the address at which
the browser ended; or nobody does either, and the program gives up after its own time. So nothing here waits for ever.

In a notebook the box is that of `getpass()`, which every frontend has and which leaves nothing of what was pasted in the file.
A redirect that arrives by itself must not leave the cell waiting in that box. JupyterLab runs no further cell before a box is
answered, even if the kernel has stopped to ask; so a script presses Enter in it where scripts are run, and a line says to press
Enter where they are not. If nothing does within seconds, the kernel's own interrupt ends the question, as the stop button would;
only here and then it is no interrupt to the cell.
"""

from __future__ import annotations

import _thread
import contextvars
import getpass
import json
import os
import select
import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable

from . import _command, _html, _notebook
from ._errors import SignInRequired
from ._text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Options of `login`, and none of `mount`.
OPTIONS = ("client_file", "client_id", "client_secret")

#: How long a notebook may take to press Enter, in seconds.
_PATIENCE = 5.0

_NOBODY = (
    "sign-in required, and there is nobody here to ask: no terminal, and no notebook that can show a box. "
    "Sign in once with `drivemount login` in a terminal of this machine, or mount without a prompt: with "
    "service_account_file=…, token_file=…, token_command=… or credentials=…, or with the variables "
    "DRIVEMOUNT_SERVICE_ACCOUNT_FILE, DRIVEMOUNT_TOKEN_FILE, … of the same names"
)


def login(
    source: str | None = None, account: str | None = None, *, readonly: bool = False, **options: _command.Option
) -> None:
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
    email = sign_in(source, account, read_only=readonly, options=options)
    if not _notebook.can_ask():
        print(f"Signed in as {plain(email)}")  # A notebook shows it in the place of the link.


def sign_in(source: str | None, account: str | None, *, read_only: bool, options: Mapping[str, _command.Option]) -> str:
    """Sign in to a drive, and return whose it is.

    Raises:
        SignInRequired: nobody could be asked, or access was not allowed.
        DriveError: it failed for another reason.

    """
    opener = os.environ.get("BROWSER")
    ask: Callable[[_Login], None]
    if _notebook.can_ask():
        ask = _in_notebook
    elif _notebook.is_terminal():
        ask = _in_terminal
    elif opener:
        ask = _wait
    else:
        raise SignInRequired(_NOBODY)
    line, environment = _command.flags(options)
    arguments = ["login", "--json", "--no-browser", *line]
    if account is not None:
        arguments.append(f"--account={account}")
    if read_only:
        arguments.append("--read-only")
    if source is not None:
        arguments += ["--", source]
    login = _Login(_command.start(arguments, environment))
    try:
        login.wait(lambda: bool(login.url))
        if login.url:
            if opener:
                _open(opener, login.url)
            ask(login)
        return login.result()
    finally:
        login.stop()


class _Login:
    """A `drivemount login --json` that runs, and what it said so far; a thread of its own hears it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.url = ""
        self.message = ""
        self.email: str | None = None
        self.failure: str | None = None
        self.over = False
        self._process = process
        self._complaint = ""
        self._asking = False
        self._interrupted = False
        self._nudge: Callable[[], None] = lambda: None
        self._news = threading.Condition()
        #: Can be read once for each event, for those who wait for a terminal too.
        self.bell, self._rope = os.pipe()
        self._threads = [threading.Thread(target=hear, daemon=True) for hear in (self._hear, self._hear_complaints)]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        for line in self._process.stdout or ():
            with suppress(ValueError), self._news:  # A line that is no event says nothing to us.
                self._take(json.loads(line))
                self._news.notify_all()
                os.write(self._rope, b".")
                if self.email is not None or self.failure is not None:
                    break
        with self._news:
            self.over = True
            self._news.notify_all()
            os.write(self._rope, b".")
            asking = self._asking
        if asking:
            self._nudge()
            self._end_question()

    def _end_question(self) -> None:
        with self._news:
            if not self._news.wait_for(lambda: not self._asking, timeout=_PATIENCE):
                self._interrupted = True
                _thread.interrupt_main()

    def _hear_complaints(self) -> None:
        if self._process.stderr is not None:
            self._complaint = self._process.stderr.read()

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "link":
            self.url = str(event.get("url", ""))
        elif kind == "again":
            self.message = str(event.get("message", ""))
        elif kind == "done":
            self.email = str(event.get("email") or event.get("account") or "")
        elif kind == "failed":
            self.failure = str(event.get("message", ""))

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until something holds, or all is over."""
        with self._news:
            self._news.wait_for(lambda: self.over or until())

    def message_once(self) -> str:
        """Take what is to be said before the person is asked again."""
        with self._news:
            message, self.message = self.message, ""
        return message

    def paste(self, text: str) -> None:
        """Hand over what a person pasted, which may have been broken into lines on the way."""
        if self._process.stdin is not None:
            with suppress(OSError):  # It ended meanwhile, and says why.
                self._process.stdin.write("".join(text.split()) + "\n")
                self._process.stdin.flush()

    def ask(self, prompt: str, nudge: Callable[[], None]) -> str:
        """Ask in a box; what is returned is empty if nothing need be pasted any more.

        `nudge` is called from another thread if that is so while the question is open.
        """
        try:
            with self._news:
                if self.over:
                    return ""
                self._asking = True
                self._nudge = nudge
            try:
                text = getpass.getpass(prompt)
            finally:
                with self._news:
                    self._asking = False
                    self._news.notify_all()
                # An interrupt that was sent just before is delivered here, and not somewhere later.
                time.sleep(0)
        except KeyboardInterrupt:
            if self._interrupted:
                return ""
            raise
        return text

    def result(self) -> str:
        if self.email is not None:
            return self.email
        code = self._process.wait()
        self._threads[1].join(1.0)
        raise _command.Done(code or _command.SIGN_IN_REQUIRED, "", self.failure or self._complaint).error()

    def stop(self) -> None:
        """End the program, if it runs, and all that belongs to it."""
        self._process.terminate()
        for thread in self._threads:
            thread.join(2.0)
        _command.stop(self._process)
        os.close(self.bell)
        os.close(self._rope)


def _open(opener: str, url: str) -> None:
    """Show the link in the program that $BROWSER names, as `webbrowser` reads that variable."""
    words = shlex.split(opener.split(os.pathsep)[0])
    line = [word.replace("%s", url) for word in words] if "%s" in opener else [*words, url]
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(line, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"drivemount: $BROWSER cannot be started: {error}\n")
        return
    # It may stay open for long: nobody waits for it but this.
    threading.Thread(target=process.wait, daemon=True).start()


def _wait(login: _Login) -> None:
    """Wait for the browser alone."""
    login.wait(lambda: False)


def _in_terminal(login: _Login) -> None:
    """Show the link and take lines from the terminal, until the program has what it needs."""
    sys.stderr.write(
        f"To sign in, open this link in any browser and allow access:\n\n  {login.url}\n\n"
        "If the browser runs on another machine, it ends at a page that cannot be loaded: paste its address here.\n"
    )
    _prompt()
    watched: list[Any] = [login.bell, sys.stdin]
    while not login.over:
        ready, _, _ = select.select(watched, [], [])
        if login.bell in ready:
            os.read(login.bell, 1)
            if message := login.message_once():
                sys.stderr.write(f"\n{message}\n")
                _prompt()
        elif line := sys.stdin.readline():
            login.paste(line)
        else:
            watched.remove(sys.stdin)  # The redirect may still arrive.
    sys.stderr.write("\n")


def _prompt() -> None:
    sys.stderr.write("Address or code: ")
    sys.stderr.flush()


def _in_notebook(login: _Login) -> None:
    """Show the link, and under it a box."""
    page = _notebook.Shown(_html.link(login.url, ""), f"To sign in, open this link: {login.url}")
    # Output belongs to the cell that runs, which only its own thread knows.
    context = contextvars.copy_context()

    def nudge() -> None:
        said = f"{_outcome(login)}. To go on, press Enter in the box below"
        context.run(page.replace, _html.press_enter(said), said)

    try:
        while not login.over:
            if text := login.ask("Paste the address or code here, if it does not go on by itself: ", nudge).strip():
                login.paste(text)
                login.wait(lambda: bool(login.message))
            if message := login.message_once():
                page.replace(_html.link(login.url, message), f"{message}: {login.url}")
    finally:
        page.replace(_html.note(_outcome(login)), _outcome(login))


def _outcome(login: _Login) -> str:
    return "Not signed in" if login.email is None else f"Signed in as {login.email}"
