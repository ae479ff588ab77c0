"""What the tests here share: the program that is tested, drives, runtimes, and a program that consents."""

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud import cloud
from runtime import Runtime

CONSENT = Path(__file__).with_name("consent.py")


@pytest.fixture(scope="session")
def drivemount():
    """The program: $DRIVEMOUNT, or the one that the wheel brought."""
    beside = Path(sys.executable).with_name("drivemount")
    program = os.environ.get("DRIVEMOUNT") or shutil.which(beside)
    assert program, f"there is no {beside}; run scripts/test-notebook, or name the program in $DRIVEMOUNT"
    return program


@pytest.fixture
def clouds(drivemount, tmp_path):
    """Starts a drive, and ends it with the test."""
    running = []

    def start(name="cloud"):
        running.append(cloud(drivemount, tmp_path / name))
        return running[-1].__enter__()

    yield start
    for drive in running:
        drive.__exit__(None, None, None)


@pytest.fixture
def runtimes(drivemount, tmp_path):
    """Makes a runtime; what it mounted is unmounted with the test."""
    made = []

    def new(name="runtime", **variables):
        made.append(Runtime(tmp_path / name, drivemount, **variables))
        return made[-1]

    yield new
    for runtime in made:
        runtime.end()


@pytest.fixture
def browser(tmp_path):
    """A program that opens the link that it is given and consents; options change how it answers."""

    def program(*options):
        path = tmp_path / f"browser{len(list(tmp_path.glob('browser*')))}"
        path.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, str(CONSENT), *options])} \"$@\" >>{tmp_path}/addresses\n")
        path.chmod(0o755)
        return str(path)

    return program


@pytest.fixture
def visit():
    """Opens a link on another machine and consents; returns what the address bar says then."""

    def address(link, *options):
        command = [sys.executable, CONSENT, "--elsewhere", *options, link]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout.strip()

    return address


@pytest.fixture
def paste(visit):
    """Answers the question of a cell: opens the link that it shows on another machine, and pastes the address back."""
    return lambda _, shown: visit(link_in(shown))


def link_in(shown):
    """The link that a person is to open, in what a cell shows."""
    return html.unescape(re.search(r'href="([^"]+)"', shown)[1])
