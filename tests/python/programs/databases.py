"""Processes that use a database of SQLite.

databases.py together FILE PROCESSES TIMES   each commits so often, and reads between
databases.py killed FILE                     a writer that is killed in the middle of a transaction
databases.py commits FILE MODE SYNCHRONOUS   commits without an end, and says the number of each when it is done
"""

import multiprocessing
import os
import signal
import sqlite3
import sys


def connect(path):
    return sqlite3.connect(path, timeout=120, isolation_level=None)


def one_of_many(path, times):
    database = connect(path)
    for _ in range(times):
        database.execute("BEGIN IMMEDIATE")
        (highest,) = database.execute("SELECT max(n) FROM t").fetchone()
        database.execute("INSERT INTO t VALUES (?, ?)", (highest + 1, "x" * 500))
        database.execute("COMMIT")
        (count,) = database.execute("SELECT count(*) FROM t WHERE n > ?", (highest,)).fetchone()
        assert count >= 1


def together(path, processes, times):
    (before,) = connect(path).execute("SELECT count(*) FROM t").fetchone()
    workers = [multiprocessing.Process(target=one_of_many, args=(path, int(times))) for _ in range(int(processes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    (after,) = connect(path).execute("SELECT count(*) FROM t").fetchone()
    print("together", after - before, flush=True)


def write_half(path, ready):
    database = connect(path)
    database.execute("PRAGMA cache_size = 5")  # so that pages are in the file before the end
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE t SET text = text || 'half'")
    database.executemany("INSERT INTO t VALUES (NULL, ?)", (("y" * 3000,) for _ in range(200)))
    ready.set()
    signal.pause()


def killed(path):
    ready = multiprocessing.Event()
    writer = multiprocessing.Process(target=write_half, args=(path, ready))
    writer.start()
    assert ready.wait(60)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    print("half", *connect(path).execute("SELECT count(*) FROM t WHERE text LIKE '%half' OR text LIKE 'yyy%'").fetchone())


def commits(path, mode, synchronous):
    database = connect(path)
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, text)")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    while True:
        number = database.execute("INSERT INTO t VALUES (NULL, ?)", ("z" * 1500,)).lastrowid
        print(number, flush=True)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    {"together": together, "killed": killed, "commits": commits}[name](*arguments)
