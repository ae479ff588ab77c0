"""The tutorial, executed as it stands by a real Jupyter: on one runtime, and then on a new one that has nothing of the first."""

import hashlib
import io
import os
import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

from picture import take
from runtime import MOUNTPOINT, Session

TOP = Path(__file__).parents[2]
TUTORIAL = TOP / "examples" / "notebooks" / "tutorial.ipynb"
LOSS = "train/loss"
# A folder for notebooks and pictures that somebody wants to look at.
KEEP = os.environ.get("KEEP")
FIRST, SECOND = [(f"from-epoch-{begin}", list(range(begin + 1, begin + 7))) for begin in (0, 6)]


@pytest.fixture
def mountpoint():
    """The mountpoint is free before, and gone afterwards if it was not there."""
    place = Path(MOUNTPOINT)
    assert not os.path.ismount(place), f"something is mounted at {place}"
    missing = [path for path in (place, *place.parents) if not path.exists()]
    yield place
    for path in missing:
        if path.exists():
            path.rmdir()


def fill(runtime, cloud, folder):
    """Puts the pictures and the program on the drive."""
    folder.mkdir()
    runtime.works("mount", cloud.url, folder)
    runtime.works("demo", "--sample", folder)
    shutil.copyfile(TOP / "examples" / "train_torch.py", folder / "train.py")
    runtime.works("unmount", folder)


def keep(session, name):
    """Keeps the executed notebook to be looked at, if somebody wants to."""
    if KEEP:
        nbformat.write(session.notebook, Path(KEEP, name))


def logged(cloud, session, folder):
    """What the event files of a session say, as (step, loss): from the bytes that the drive has."""
    found = []
    for name, file in cloud.children(cloud.find(f"logs/{session}")["id"]).items():
        content = cloud.content(file)
        assert hashlib.md5(content).hexdigest() == file["md5Checksum"]
        path = folder / name
        path.write_bytes(content)
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag == LOSS:
                    found.append((event.step, float(tensor_util.make_ndarray(value.tensor))))
    return found


def test_the_tutorial_goes_on_where_a_lost_runtime_ended(clouds, runtimes, browser, paste, mountpoint, tmp_path):
    cloud = clouds()
    served = {}

    def look_at(*runs):
        def look(session):
            for run, steps in runs:
                served[run] = session.scalars(run, LOSS, len(steps))
                assert [step for step, _ in served[run]] == steps
            if KEEP:
                take(session.tensorboard(), Path(KEEP, f"{session.runtime.folder.name}-tensorboard.png"))

        return look

    def tutorial(runtime, answer, *runs):
        session = Session(runtime, TUTORIAL, answer)
        try:
            session.run(after={"%tensorboard": look_at(*runs)})
        finally:
            keep(session, f"{runtime.folder.name}.ipynb")
        assert not os.path.ismount(mountpoint), "it is unmounted"
        assert "Mounted at /content/drive" in session.output("from drivemount")
        return session

    # Somebody signed in on this machine before, and put things on the drive. Nothing is asked.
    runtime = runtimes("first")
    runtime.works("login", cloud.url, "--client-file", cloud.client_file, BROWSER=browser())
    fill(runtime, cloud, tmp_path / "fill")
    first = tutorial(runtime, None, FIRST)
    assert {"data", "train.py"} <= set(first.output("!ls").split())
    assert first.output("from pathlib", "image/png"), "the pictures are shown"
    assert "starting anew" in first.output("!python")
    assert first.output("drive.status", "text/html"), "the status is a table"
    runtime.lose()

    # A machine where nobody ever signed in: the first cell asks.
    runtime = runtimes("second", DRIVEMOUNT_API_URL=cloud.url, DRIVEMOUNT_CLIENT_FILE=str(cloud.client_file))
    second = tutorial(runtime, paste, FIRST, SECOND)
    assert {"data", "train.py", "checkpoints", "logs"} <= set(second.output("!ls").split())
    assert "going on from the checkpoint of epoch 6" in second.output("!python")
    runtime.lose()

    checkpoint = torch.load(io.BytesIO(cloud.content(cloud.find("checkpoints/last.pt"))))
    assert checkpoint["epoch"] == 12
    for name, steps in (FIRST, SECOND):
        points = logged(cloud, name, tmp_path)
        assert [step for step, _ in points] == steps
        assert dict(points) == pytest.approx(dict(served[name]))
