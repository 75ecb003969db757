"""The wal-index of connections that are open, read where SQLite has it mapped.

Its `-shm` file is never opened: closing any descriptor of it would cancel the locks of this process. Offsets:
https://sqlite.org/walformat.html#the_wal_index_file_format. With all others stopped at points the numbers are whole.
"""

from collections.abc import Mapping
from ctypes import c_uint32

from crashlab.engine.schedules.ran import Look

__all__ = ["impossible", "look_at"]

_MAX_FRAME, _BACKFILLED, _READ_MARKS = 16, 96, 100
READ_MARKS = 5


def impossible(mapped: Mapping[int, int]) -> str:
    """Say what cannot be in a correct SQLite: more frames in the database than there are (nBackfill > mxFrame)."""
    for address in {*mapped.values()}:
        backfilled = c_uint32.from_address(address + _BACKFILLED).value
        if backfilled:
            frames = c_uint32.from_address(address + _MAX_FRAME).value
            if backfilled > frames:
                return f"nBackfill {backfilled} > mxFrame {frames}"
    return ""


def look_at(mapped: Mapping[int, int]) -> Look | None:
    """Return what is in the wal-index, None when none is mapped."""
    for address in mapped.values():
        marks = (c_uint32 * READ_MARKS).from_address(address + _READ_MARKS)
        return Look(
            c_uint32.from_address(address + _MAX_FRAME).value,
            c_uint32.from_address(address + _BACKFILLED).value,
            tuple(marks),
        )
    return None
