"""How sizes, numbers and names are written: as the program itself writes them."""

from __future__ import annotations

_UNITS = ((50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"))


def size(number: int) -> str:
    """Write a number of bytes with the unit that leaves one to three digits before the point: ``1.5 GiB``."""
    for shift, unit in _UNITS:
        if number >> shift > 0:
            whole, tenths = number >> shift, ((number & ((1 << shift) - 1)) * 10) >> shift
            return f"{whole} {unit}" if tenths == 0 or whole >= 100 else f"{whole}.{tenths} {unit}"
    return f"{number} B"


def count(number: int, one: str, many: str) -> str:
    """Write a number of things: ``1 file``, ``2 files``."""
    return f"{number} {one if number == 1 else many}"


def plain(text: str) -> str:
    """Make `text` one line that does nothing to a terminal: names of files may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
