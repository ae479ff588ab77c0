"""Processes that count in one file, which only a lock makes right.

locks.py KIND PROCESSES TIMES    counts so often in each
locks.py killed 1 1              a lock goes with the process that held it
"""

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import filelock


@contextlib.contextmanager
def flock():
    with open("flock.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def lockf():
    with open("lockf.lock", "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def ranges():
    """A byte far behind the end, as databases lock it."""
    with open("ranges.lock", "a+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 1 << 30)
        yield
        fcntl.lockf(file, fcntl.LOCK_UN, 1, 1 << 30)


KINDS = {
    "filelock": lambda: filelock.FileLock("filelock.lock"),
    "soft": lambda: filelock.SoftFileLock("soft.lock", poll_interval=0.002),
    "flock": flock,
    "lockf": lockf,
    "ranges": ranges,
}


def count(kind, times):
    counter = Path(f"{kind}.count")
    for _ in range(times):
        with KINDS[kind]():
            counter.write_text(str(int(counter.read_text()) + 1))


def together(kind, processes, times):
    counter = Path(f"{kind}.count")
    before = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(before))
    workers = [multiprocessing.Process(target=count, args=(kind, times)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    after = int(counter.read_text())
    assert after - before == processes * times, (before, after)
    print(kind, after)


def hold(ready):
    with filelock.FileLock("held.lock"), lockf():
        ready.set()
        signal.pause()


def killed():
    ready = multiprocessing.Event()
    holder = multiprocessing.Process(target=hold, args=(ready,))
    holder.start()
    assert ready.wait(60)
    try:
        filelock.FileLock("held.lock", timeout=0).acquire()
    except filelock.Timeout:
        print("held")
    with open("lockf.lock", "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            print(error.strerror)
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with filelock.FileLock("held.lock", timeout=0):
            print("free")


if __name__ == "__main__":
    name, processes, times = sys.argv[1:]
    killed() if name == "killed" else together(name, int(processes), int(times))
