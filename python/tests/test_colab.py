"""What code written for hosted notebooks meets: the same signatures, words and exceptions."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from drivemount import drive


def test_the_signatures_are_those_of_hosted_notebooks():
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    parameters = inspect.signature(drive.mount).parameters.values()
    positional = [(p.name, p.default) for p in parameters if p.kind in kinds]
    assert positional == [
        ("mountpoint", inspect.Parameter.empty),
        ("force_remount", False),
        ("timeout_ms", 120000),
        ("readonly", False),
    ]
    assert [(p.name, p.default) for p in inspect.signature(drive.flush_and_unmount).parameters.values()] == [
        ("timeout_ms", 24 * 60 * 60 * 1000)
    ]


def test_mounting_says_where_and_nothing_else(mount, place, capfd):
    assert mount() is place
    assert capfd.readouterr() == (f"Mounted at {place}\n", "")


def test_a_second_mount_says_how_to_force_it(mount, place, capfd):
    mount()
    capfd.readouterr()
    assert drive.mount(str(place)) is None
    assert capfd.readouterr() == (
        f"Drive already mounted at {place}; to attempt to forcibly remount, call "
        f'drive.mount("{place}", force_remount=True).\n',
        "",
    )


def test_both_names_of_my_drive_lead_to_it(mount, place):
    mount()
    (place / "MyDrive" / "a.txt").write_text("a")
    assert (place / "My Drive" / "a.txt").read_text() == "a"
    assert (place / "a.txt").read_text() == "a"


def test_unmounting_what_is_not_mounted_says_so(tmp_path, monkeypatch, capfd):
    (tmp_path / "mounts").write_text("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n")
    monkeypatch.setattr("drivemount._mounts.TABLE", str(tmp_path / "mounts"))
    assert drive.flush_and_unmount() is None
    assert capfd.readouterr() == ("Drive not mounted, so nothing to flush and unmount.\n", "")


def test_unmounting_sends_everything_and_says_nothing(mount, place, cloud, capfd):
    mount(cache_dir=place.parent / "one")
    (place / "a.bin").write_bytes(os.urandom(1_000_000))
    capfd.readouterr()
    assert drive.flush_and_unmount() is None
    assert capfd.readouterr() == ("", "")
    assert not place.exists()
    # A new machine has nothing but the drive.
    mount(cache_dir=place.parent / "two")
    assert (place / "a.bin").stat().st_size == 1_000_000


def test_a_path_with_spaces_is_as_good_as_any(mount, place, cloud, capfd):
    spaced = place.parent / "my drive"
    drive.mount(str(spaced), source=cloud.url, token_file=cloud.token_file)
    try:
        assert capfd.readouterr().out == f"Mounted at {spaced}\n"
        (spaced / "a b.txt").write_text("a")
        drive.flush(spaced / "a b.txt")
        assert drive.status().mountpoint == str(spaced)
    finally:
        drive.flush_and_unmount()


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ValueError, match="^Mountpoint must not be a symlink$"):
        drive.mount(str(tmp_path / "link"))


def test_a_folder_with_files_is_refused_and_they_are_named(tmp_path):
    for name in "abcd":
        (tmp_path / "full" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="^Mountpoint must not already contain files") as caught:
        drive.mount(str(tmp_path / "full"))
    assert str(caught.value) == "Mountpoint must not already contain files"
    if sys.version_info >= (3, 11):
        assert "holds a, b, c and 1 more" in caught.value.__notes__[0]


def test_a_folder_that_only_looks_like_a_drive_is_not_taken_for_one(tmp_path):
    # Left by somebody who wrote to the path while nothing was mounted: what is written there reaches no drive.
    (tmp_path / "drive" / "My Drive").mkdir(parents=True)
    with pytest.raises(ValueError, match="^Mountpoint must not already contain files"):
        drive.mount(str(tmp_path / "drive"))


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="^Mountpoint must either be a directory or not exist$"):
        drive.mount(str(tmp_path / "file"))


def test_a_place_in_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="^Mountpoint must be in a directory that exists") as caught:
        drive.mount(str(tmp_path / "none" / "drive"))
    assert str(caught.value) == "Mountpoint must be in a directory that exists"


def test_the_folder_of_hosted_notebooks_is_made(cloud, place, monkeypatch, capfd):
    place.parent.rmdir()
    monkeypatch.setattr("drivemount._mounting._HOSTED", str(place.parent))
    drive.mount(str(place), source=cloud.url, token_file=cloud.token_file)
    assert capfd.readouterr().out == f"Mounted at {place}\n"


def test_a_mount_that_fails_says_why(place, cloud):
    cloud.stop()
    with pytest.raises(ValueError, match="^mount failed: .*cannot be reached"):
        drive.mount(str(place), source=cloud.url, token_file=cloud.token_file)
    assert not place.exists()


def test_a_drive_that_does_not_answer_ends_in_time(place, serve):
    cloud = serve("--trouble", "*:latency,ms=60000")
    with pytest.raises(ValueError, match="^mount failed: timeout: the drive did not answer within 1 s"):
        drive.mount(str(place), source=cloud.url, token_file=cloud.token_file, timeout_ms=1000)
    assert not place.is_mount()


def with_packages(folder) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


STAND_IN = """
import drivemount.colab
from google.colab import drive
from google.colab.drive import mount
import google.colab.drive, drivemount.drive
assert drive.mount is mount is drivemount.drive.mount
{more}
"""


@pytest.mark.parametrize("package", ["", "__init__.py"], ids=["a namespace", "a package"])
def test_the_stand_in_lives_with_other_packages_of_google(run, tmp_path, package):
    google = tmp_path / "site" / "google"
    (google / "cloud").mkdir(parents=True)
    (google / "cloud" / "__init__.py").write_text("x = 1")
    if package:
        (google / package).touch()
    environment = with_packages(tmp_path / "site")
    for first in ("", "import google.cloud\n"):
        done = run(first + STAND_IN.format(more="import google.cloud; assert google.cloud.x == 1"), env=environment)
        assert done.returncode == 0, done.stderr


def test_what_is_installed_later_is_found_beside_the_stand_in(run, tmp_path):
    more = f"""
import pathlib, sys
folder = pathlib.Path({str(tmp_path / "later")!r}, "google", "genai")
folder.mkdir(parents=True)
(folder / "__init__.py").touch()
sys.path.append({str(tmp_path / "later")!r})
import google.genai
"""
    done = run(STAND_IN.format(more=more))
    assert done.returncode == 0, done.stderr


def test_the_original_is_left_alone(run, tmp_path):
    colab = tmp_path / "site" / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").touch()
    (colab / "drive.py").write_text("original = True")
    code = "import drivemount.colab\nfrom google.colab import drive\nassert drive.original"
    done = run(code, env=with_packages(tmp_path / "site"))
    assert done.returncode == 0, done.stderr


def test_the_module_runs_the_program():
    for arguments, code in ((["--version"], 0), (["no-such-command"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "drivemount", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert "drivemount" in done.stdout + done.stderr
