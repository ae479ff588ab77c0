"""A runtime of its own — a home, a cache and a temporary folder that nothing else uses — and notebooks on it, in a real Jupyter."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import nbformat
from nbclient import NotebookClient

# Far beyond what it takes: a bound against hanging.
PATIENCE = 120
# The cells of the tutorial say it.
MOUNTPOINT = "/content/drive"


class Runtime:
    """A machine, as far as its programs can tell."""

    def __init__(self, folder, drivemount, **variables):
        self.folder = Path(folder)
        self.drivemount = drivemount
        self.home, self.temporary = self.folder / "home", self.folder / "tmp"
        for path in (self.home, self.temporary):
            path.mkdir(parents=True)
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("DRIVEMOUNT", "XDG_"))}
        programs = Path(sys.executable).parent
        self.environment = mine | {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            # As in an activated environment: `!python` is the kernel's Python.
            "PATH": f"{programs}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(programs.parent),
        } | variables  # fmt: skip

    def start(self, *arguments, **variables):
        """Starts the program, to be spoken to."""
        pipe = subprocess.PIPE
        environment = self.environment | variables
        command = [self.drivemount, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments, **variables):
        """Runs the program to its end."""
        process = self.start(*arguments, **variables)
        try:
            out, errors = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def works(self, *arguments, **variables):
        """Runs the program, which must not fail; returns what it said."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, f"{done.args}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def end(self):
        """Ends what is mounted for it, whatever state it is in."""
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mountpoint, kind, *_ = line.split()
            if kind.startswith("fuse") and (mountpoint == MOUNTPOINT or mountpoint.startswith(f"{self.folder.parent}/")):
                self.run("unmount", mountpoint, "--timeout", "10s")
                if os.path.ismount(mountpoint):
                    subprocess.run(["umount", "--lazy", mountpoint], check=False)

    def lose(self):
        """What is left of a runtime that was given back: nothing."""
        self.end()
        shutil.rmtree(self.folder)


def shown(cell, kind="text/html"):
    """All that a cell has put out, of one kind."""
    found = [output["text"] for output in cell.outputs if output.output_type == "stream" and kind == "text/plain"]
    found += [output["data"][kind] for output in cell.outputs if kind in output.get("data", {})]
    return "\n".join(found)


class Session:
    """A notebook that is executed there, cell by cell, by somebody who answers when a cell asks.

    `answer` is given the question and all that the cell has shown so far, and returns what is typed into the box; `None`: nothing.
    """

    def __init__(self, runtime, path, answer=None):
        self.runtime = runtime
        self.answer = answer
        self.notebook = nbformat.read(path, as_version=4)
        self.client = NotebookClient(self.notebook, timeout=PATIENCE, kernel_name="python3", coalesce_streams=True)

    def run(self, after=None):
        """Executes all cells; `after` maps the beginning of a cell to what is done when it has run."""
        asyncio.run(self._run(dict(after or {})))

    async def _run(self, after):
        kernel = {"env": self.runtime.environment, "cwd": str(self.runtime.home)}
        async with self.client.async_setup_kernel(**kernel):
            self.client.kc.allow_stdin = self.answer is not None
            try:
                for index, cell in enumerate(self.notebook.cells):
                    began = time.monotonic()
                    await self._execute(cell, index)
                    if cell.cell_type == "code":
                        print(f"  {time.monotonic() - began:5.1f} s  {cell.source.splitlines()[0]}", flush=True)
                    for start in [start for start in after if cell.source.startswith(start)]:
                        await asyncio.to_thread(after.pop(start), self)
            finally:
                self.end_tensorboards()
        if after:
            raise LookupError(f"no such cells: {', '.join(after)}")

    async def _execute(self, cell, index):
        answers = asyncio.ensure_future(self._answer(cell)) if self.answer else None
        try:
            await self.client.async_execute_cell(cell, index)
        finally:
            if answers:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)

    async def _answer(self, cell):
        """Answers whatever the cell asks."""
        while True:
            message = await self.client.kc.get_stdin_msg(timeout=None)
            if message["msg_type"] == "input_request":
                typed = await asyncio.to_thread(self.answer, message["content"]["prompt"], shown(cell))
                if typed is not None:
                    self.client.kc.input(typed)

    def output(self, start, kind="text/plain"):
        """All that the cell with this beginning put out, of one kind."""
        return shown(next(cell for cell in self.notebook.cells if cell.source.startswith(start)), kind)

    def tensorboards(self):
        """The TensorBoards that the notebook started, as they describe themselves."""
        return [json.loads(path.read_text()) for path in (self.runtime.temporary / ".tensorboard-info").glob("*.info")]

    def end_tensorboards(self):
        for board in self.tensorboards():
            os.kill(board["pid"], signal.SIGTERM)

    def tensorboard(self):
        """Where the running TensorBoard is."""
        (board,) = self.tensorboards()
        return f"http://127.0.0.1:{board['port']}/"

    def scalars(self, run, tag, count):
        """What the running TensorBoard serves to a browser: as (step, value), when there are so many."""
        address = f"{self.tensorboard()}data/plugin/scalars/scalars?run={quote(run)}&tag={quote(tag, safe='')}"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with urlopen(address, timeout=PATIENCE) as answer:
                    points = [(step, value) for _, step, value in json.loads(answer.read())]
            except URLError as error:
                points = error
            if not isinstance(points, URLError) and len(points) >= count:
                return points
            if time.monotonic() > end:
                raise TimeoutError(f"TensorBoard does not serve {count} of {tag} of {run}: {points}")
            time.sleep(0.2)
