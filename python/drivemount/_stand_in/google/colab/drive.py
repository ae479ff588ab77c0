"""Stands in for ``google.colab.drive``: the functions of :mod:`drivemount.drive`."""

from drivemount.drive import *  # noqa: F403
from drivemount.drive import __all__ as __all__
