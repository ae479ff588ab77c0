"""Somebody types into an editor.

terminal.py EDITOR        writes and saves the file `typed` of this folder with vim or nano
"""

import os
import pty
import re
import select
import sys
import time


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *command):
        self.screen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)

    def read(self, deadline):
        if not select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError(self.screen)
        try:
            return os.read(self.terminal, 65536)
        except OSError:  # how a terminal says that nobody is there any more
            return b""

    def shows(self, pattern):
        """Waits until it shows something, and forgets what came before."""
        deadline = time.monotonic() + 60
        while not (found := re.search(pattern, self.screen)):
            more = self.read(deadline)
            assert more, f"ended: {self.screen}"
            self.screen += more
        self.screen = self.screen[found.end() :]

    def type(self, keys):
        os.write(self.terminal, keys)

    def ends(self):
        deadline = time.monotonic() + 60
        while self.read(deadline):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert status == 0, (status, self.screen)


def vim():
    terminal = Terminal("vim.tiny", "-Nu", "NONE", "-i", "NONE", "typed")
    terminal.shows(rb"typed")
    terminal.type(b"Gotyped with vim\x1b:w\r")
    terminal.shows(rb"written")
    terminal.type(b"oand more\x1b:x\r")
    terminal.ends()


def nano():
    terminal = Terminal("nano", "--ignorercfiles", "--backup", "typed")
    terminal.shows(rb"nano")
    terminal.type(b"typed with nano\r\x0f")  # ^O: write out
    terminal.shows(rb"Write")
    terminal.type(b"\r")
    terminal.shows(rb"Wrote")
    terminal.type(b"and more\r\x0f\r")
    terminal.shows(rb"Wrote")
    terminal.type(b"\x18")  # ^X: exit
    terminal.ends()


if __name__ == "__main__":
    {"vim": vim, "nano": nano}[sys.argv[1]]()
