"""Real kernels: one that is spoken to as a notebook speaks to it, and notebooks that a program executes."""

from __future__ import annotations

import re
import time
from typing import Any, Callable

import nbclient
import nbformat
from jupyter_client.manager import start_new_kernel


class Kernel:
    """A kernel with a person before it."""

    def __enter__(self) -> Kernel:
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.messages: list[dict[str, Any]] = []
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def run(self, code: str, answer: Callable[[str], str | None] | None = None, error: str | None = None) -> None:
        """Run a cell; `answer` is the person before the box, who may leave it empty by answering with nothing."""
        self.messages = []

        def ask(message: dict[str, Any]) -> None:
            # What is shown comes on another line than the question, and may be late.
            socket, end = self.client.iopub_channel.socket, time.monotonic() + 10
            while not any(m["msg_type"] == "display_data" for m in self.messages) and time.monotonic() < end:
                _, shown = self.client.session.recv(socket)
                self.messages += [shown] if shown else []
                time.sleep(0.01)
            text = answer(message["content"]["prompt"])
            if text is not None:
                self.client.input(text)

        reply = self.client.execute_interactive(
            code,
            timeout=60,
            allow_stdin=answer is not None,
            stdin_hook=ask,
            output_hook=self.messages.append,
        )["content"]
        assert reply.get("ename") == error, reply

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def html(self) -> str:
        """What is shown now: later pages take the place of earlier ones."""
        pages: dict[str, str] = {}
        for message in self.messages:
            content = message["content"]
            if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                key = content.get("transient", {}).get("display_id") or str(len(pages))
                pages[key] = content["data"].get("text/html", "")
        return "\n".join(pages.values())

    def shown_first(self) -> str:
        return next(m["content"]["data"]["text/html"] for m in self.messages if m["msg_type"] == "display_data")

    def link(self) -> str:
        import html

        return html.unescape(re.search(r'href="([^"]+)"', self.shown_first())[1])

    def stdout(self) -> str:
        return self._stream("stdout")

    def stderr(self) -> str:
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        streams = [m["content"] for m in self.messages if m["msg_type"] == "stream"]
        return "".join(content["text"] for content in streams if content["name"] == name)

    def shut_down(self, *, restart: bool = False) -> None:
        """End it as a notebook does, and hear what it says until it is gone."""
        self.messages = []
        self.client.shutdown(restart=restart)
        end = time.monotonic() + 15
        while self.manager.is_alive() and time.monotonic() < end:
            self._hear(0.1)
        self._hear(0.5)

    def _hear(self, wait: float) -> None:
        import queue

        try:
            while True:
                self.messages.append(self.client.get_iopub_msg(timeout=wait))
        except queue.Empty:
            pass


def executed(cells: list[str], **options: Any) -> tuple[list[Any], Any]:
    """Execute a notebook; its outputs by cell, and the error that ended it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    error = None
    try:
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", **options).execute()
    except nbclient.exceptions.CellExecutionError as caught:
        error = caught
    return [cell.outputs for cell in notebook.cells], error
