"""Where the program is found, however the package was installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from drivemount import _binary


@pytest.fixture
def nothing_named(monkeypatch, tmp_path):
    """No variable and no other program on the path."""
    monkeypatch.delenv("DRIVEMOUNT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def program(folder, name="drivemount") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


def test_the_variable_names_it_outright(monkeypatch, tmp_path):
    monkeypatch.setenv("DRIVEMOUNT", program(tmp_path, "other"))
    assert _binary.find() == str(tmp_path / "other")
    monkeypatch.setenv("DRIVEMOUNT", "/nowhere")
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        _binary.find()


@pytest.mark.parametrize(
    ("package", "folder"),
    [("lib/python3/site-packages", "bin"), ("target", "target/bin")],
    ids=["--prefix", "--target"],
)
def test_it_is_found_beside_the_package(nothing_named, monkeypatch, tmp_path, package, folder):
    monkeypatch.setattr(_binary, "__file__", str(tmp_path / package / "drivemount" / "_binary.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_, **__: str(tmp_path / "none"))
    expected = program(tmp_path / folder)
    assert _binary.find() == expected


def test_the_one_that_came_with_the_package_goes_before_one_on_the_path(nothing_named, monkeypatch, tmp_path):
    on_path = program(tmp_path / "path")
    monkeypatch.setattr(_binary, "__file__", str(tmp_path / "a/b/c/drivemount/_binary.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_, **__: str(tmp_path / "scripts"))
    assert _binary.find() == on_path
    ours = program(tmp_path / "scripts")
    assert _binary.find() == ours


def test_without_any_it_says_how_to_install_it(nothing_named, monkeypatch, tmp_path):
    monkeypatch.setattr(_binary, "_folders", lambda: iter(()))
    with pytest.raises(FileNotFoundError, match="pip install drivemount"):
        _binary.find()


def test_importing_the_package_takes_no_ipython():
    code = "import sys, drivemount; assert not {'IPython', 'tqdm', 'ipywidgets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_knows_its_version():
    import drivemount

    assert "site-packages" in drivemount.__file__, "install the wheel first: scripts/test-python does"
    said = subprocess.run([sys.executable, "-m", "drivemount", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.split()[-1] == drivemount.__version__
