"""``import drivemount.colab`` makes ``from google.colab import drive`` work on runtimes that do not have the original.

Where the original is there it is left alone. Other packages below ``google`` (``google.cloud``, ``google.protobuf``, …) work as
before, also those that are installed later: the stand-in is one more folder of that namespace, found by the usual import.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module, invalidate_caches
from importlib.util import find_spec

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_stand_in")


def install() -> bool:
    """Make ``google.colab`` importable. Says whether it is ours: ``False`` where the original is there."""
    if _is_there():
        return hasattr(sys.modules.get("google.colab"), "__drivemount__")
    # At the end: whatever is called so elsewhere comes first.
    if _FOLDER not in sys.path:
        sys.path.append(_FOLDER)
    invalidate_caches()
    google = import_module("google")
    folder = os.path.join(_FOLDER, "google")
    # A `google` that is a package of its own, and no namespace, looks nowhere but in its folders.
    if isinstance(google.__path__, list) and folder not in google.__path__:
        google.__path__.append(folder)
    return hasattr(import_module("google.colab"), "__drivemount__")


def _is_there() -> bool:
    if "google.colab" in sys.modules:
        return True
    try:
        return find_spec("google.colab") is not None
    except ModuleNotFoundError:
        return False  # Not even `google`.


install()
