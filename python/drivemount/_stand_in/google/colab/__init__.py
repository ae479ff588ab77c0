"""Stands in for ``google.colab`` where that is absent; see :mod:`drivemount.colab`."""

from drivemount import drive

__drivemount__ = True
__all__ = ["drive"]
