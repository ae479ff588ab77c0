"""Where the program is that this package drives."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "drivemount"


def find() -> str:
    """Return the path of the program ``drivemount``.

    ``$DRIVEMOUNT`` names one outright. Else it is the one that came with this package, and at last any on the path: an older
    one there must not be taken for ours.

    Raises:
        FileNotFoundError: there is none.

    """
    named = os.environ.get("DRIVEMOUNT")
    if named:
        if found := shutil.which(named):
            return os.path.abspath(found)
        raise FileNotFoundError(f"$DRIVEMOUNT says {named}, where there is no program; unset it, or let it name one")
    for folder in _folders():
        program = os.path.join(folder, NAME)
        if os.path.isfile(program) and os.access(program, os.X_OK):
            return program
    if found := shutil.which(NAME):
        return os.path.abspath(found)
    raise FileNotFoundError("the program `drivemount` is not to be found; install it with `pip install drivemount`")


def _folders() -> Iterator[str]:
    """Yield the folders into which installers put programs, the likeliest first."""
    yield sysconfig.get_path("scripts")
    # In a virtual environment that sees the packages of the Python it was made from.
    yield sysconfig.get_path("scripts", vars={"base": sys.base_prefix})
    here = os.path.dirname(os.path.abspath(__file__))
    # `pip install --prefix P`: P/lib/pythonX.Y/site-packages/drivemount and P/bin.
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(here)))), "bin")
    # `pip install --target T`: T/drivemount and T/bin.
    yield os.path.join(os.path.dirname(here), "bin")
    if sys.version_info >= (3, 10):
        user = sysconfig.get_preferred_scheme("user")
    else:
        user = "posix_user"
    yield sysconfig.get_path("scripts", scheme=user)
