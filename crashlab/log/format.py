"""The log's bytes.

A log is a row of segment files `NAME.0000`, `NAME.0001`, … Each begins with a 64-byte header: magic,
format version, process index, pid, segment number, and at offset 32 the count of bytes in use, which is
stored last and in one aligned 8-byte move, so that a reader after a SIGKILL sees whole records only.
A segment whose header has a smaller number than its name is not begun: a full segment's memory goes on as the
next one (`crashlab.log.segment`). A `NAME.copyN` is what a kill left of that.
Records are 8-byte aligned: size, kind, spare, seq, monotonic_ns, thread, payload.
"""

import struct
from enum import IntEnum

MAGIC = b"CRSHLOG1"
VERSION = 1
HEADER_SIZE = 64
HEADER = struct.Struct("<8sIIII")
USED_SLOT = 32 // 8
NUMBER_SLOT = 16 // 8
"""The word whose upper half is the segment's number."""
RECORD = struct.Struct("<IHHQQQ")
SEGMENT_BYTES = 1 << 18
SEGMENTS_MAX = 4096


class Kind(IntEnum):
    """The kinds of records. The trace adds its own, from 32 on."""

    BEGIN = 1
    ACK = 2
    REFUSED = 3
    ENTER = 4
    LEAVE = 5
    NOTE = 6
    SETTING = 7
    FIRED = 8


def segment_name(base: str, number: int) -> str:
    """Return the path of a log's segment."""
    return f"{base}.{number:04d}"


def copy_name(base: str, attempt: int) -> str:
    """Return the path where a full segment is copied to before it gets its name."""
    return f"{base}.copy{attempt}"
