"""A drive of our own for each test: the embedded server, a place to mount, folders for caches and settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from drivemount import _binary, _mounts, _session, drive


@dataclass
class Cloud:
    """The embedded drive as a process of its own."""

    url: str
    data: Path
    process: subprocess.Popen[str]

    @property
    def token_file(self) -> str:
        return str(self.data / "token")

    @property
    def client_file(self) -> str:
        return str(self.data / "client-secret.json")

    def stop(self) -> None:
        # It keeps everything at each moment, and to wait for slow connections would take long.
        self.process.kill()
        self.process.wait()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, caches and variables of nobody else."""
    for name in list(os.environ):
        if name.startswith("DRIVEMOUNT_") or name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return folder


@pytest.fixture(autouse=True)
def _session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mounts, "_here", {})
    monkeypatch.setattr(_session, "_said", set())
    monkeypatch.setattr(_session, "_seen_before", set())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """Start drives; they end with the test."""
    clouds: list[Cloud] = []

    def start(*arguments: str) -> Cloud:
        data = tmp_path / f"cloud-{len(clouds)}"
        line = [_binary.find(), "serve", "--data", str(data), *arguments]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        ready = process.stdout.readline()
        cloud = Cloud(re.search(r"http://\S+", ready)[0], data, process)
        clouds.append(cloud)
        return cloud

    yield start
    for cloud in clouds:
        cloud.stop()
        cloud.process.stdout.close()


@pytest.fixture
def cloud(serve: Callable[..., Cloud]) -> Cloud:
    return serve()


@pytest.fixture
def place(tmp_path: Path, serve: object) -> Iterator[Path]:
    """A folder to mount at. What is mounted there ends before the drive does."""
    place = tmp_path / "content" / "drive"
    place.parent.mkdir()
    yield place
    unmount(place)


def unmount(place: Path) -> None:
    while _mounts.at(str(place)) is not None:
        subprocess.run(
            [_binary.find(), "unmount", "--timeout", "100ms", "--", str(place)], check=False, capture_output=True
        )


@pytest.fixture
def mount(cloud: Cloud, place: Path) -> Callable[..., Path]:
    """Mount the drive there."""

    def do(**options: Any) -> Path:
        drive.mount(place, source=cloud.url, **{"token_file": cloud.token_file, **options})
        return place

    return do


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in Python, as a process of its own."""

    def do(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options["env"] = {**os.environ, **options.get("env", {})}
        options = {"timeout": 60, "stdin": subprocess.DEVNULL, "cwd": tmp_path, **options}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)

    return do


def pid_of(place: Path) -> int:
    return drive.status(place).pid
