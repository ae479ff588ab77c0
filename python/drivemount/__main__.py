"""``python -m drivemount …`` is ``drivemount …``."""

from __future__ import annotations

import os
import sys

from . import _binary


def main() -> None:
    """Become the program."""
    try:
        program = _binary.find()
    except FileNotFoundError as error:
        sys.exit(f"drivemount: {error}")
    os.execv(program, [program, *sys.argv[1:]])  # noqa: S606 # no shell is wanted


if __name__ == "__main__":
    main()
