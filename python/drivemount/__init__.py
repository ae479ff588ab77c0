"""Mounts your cloud drive into this runtime.

    from drivemount import drive
    drive.mount('/content/drive')

The functions are in :mod:`drivemount.drive`. ``import drivemount.colab`` lets ``from google.colab import drive`` work unchanged
on runtimes that do not have the original.
"""

from __future__ import annotations

from . import drive
from ._errors import DriveError, NotSent, NotSentInTime, SignInRequired
from ._status import Status

__all__ = ["DriveError", "NotSent", "NotSentInTime", "SignInRequired", "Status", "drive"]


def __getattr__(name: str) -> str:
    # Reading it takes a look at the disk, and hardly anybody asks.
    if name == "__version__":
        from importlib.metadata import version

        return version("drivemount")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
