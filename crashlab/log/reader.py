"""Reading logs back, whole records only, and merging those of several processes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from crashlab.errors import RecordError
from crashlab.log.format import HEADER, HEADER_SIZE, MAGIC, RECORD, USED_SLOT, VERSION, segment_name
from crashlab.log.record import Record
from crashlab.log.trace import TRACE_KIND_MIN


def read_log(base: str) -> Iterator[Record]:
    """Yield the records of one process's log in order.

    Raises:
        RecordError: a segment is no log, is of a newer version, or its records are not consecutive.
    """
    expected = 0
    number = 0
    while True:
        path = segment_name(base, number)
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return
        for record, _position in walk_segment(path, data):
            if record.seq != expected:
                raise RecordError(f"{path}: record {record.seq} where {expected} was expected: the log is damaged")
            expected += 1
            yield record
        number += 1


def walk_segment(path: str, data: bytes | memoryview) -> Iterator[tuple[Record, int]]:
    """Yield the whole records of one segment's bytes, each with the position of its payload.

    A payload is a slice of `data`: a copy of bytes, or a view into a map.

    Raises:
        RecordError: not a log, of a newer version, truncated or damaged; `path` is named.
    """
    size = len(data)
    if not size:
        return  # killed between creating the segment and sizing it
    if size < HEADER_SIZE:
        raise RecordError(f"{path}: {size} bytes, expected at least {HEADER_SIZE}: not a log")
    magic, version, process, _pid, number = HEADER.unpack_from(data)
    if magic == bytes(8):
        return  # killed between creating the segment and writing its header: empty
    if magic != MAGIC:
        raise RecordError(f"{path}: does not begin with {MAGIC!r}: not a log")
    if version > VERSION:
        raise RecordError(f"{path}: log version {version}, this crashlab reads up to {VERSION}")
    if number < int(path.rpartition(".")[2]):
        return  # not begun: the memory of the full segment before, under its next name
    used = memoryview(data)[: size & ~7].cast("Q")[USED_SLOT]
    if used > size:
        raise RecordError(f"{path}: {used} bytes in use of {size}: the log is truncated")
    position = HEADER_SIZE
    while position < used:
        if position + RECORD.size > used:
            raise RecordError(f"{path}: half a record at offset {position}: the log is damaged")
        length, kind, _spare, seq, ns, thread = RECORD.unpack_from(data, position)
        if length < RECORD.size or position + length > used:
            raise RecordError(f"{path}: record of {length} bytes at offset {position}: the log is damaged")
        start = position + RECORD.size
        payload = cast(bytes, data[start : position + length])
        yield Record(process, seq, ns, thread, kind, payload), start
        position += (length + 7) & ~7


def log_bases(directory: str) -> list[str]:
    """Return the bases of all logs in a directory, sorted by name."""
    suffix = segment_name("", 0)
    return sorted(
        os.path.join(directory, name[: -len(suffix)]) for name in os.listdir(directory) if name.endswith(suffix)
    )


def merge(logs: list[list[Record]]) -> list[Record]:
    """Merge logs of one machine by time; records of one process keep their own order."""
    return sorted(
        (record for log in logs for record in log), key=lambda record: (record.ns, record.process, record.seq)
    )


def read_marks(bases: list[str]) -> list[Record]:
    """Read and merge what the program's run said of itself, without the trace's operations and their bytes."""
    return merge([[record for record in read_log(base) if record.kind < TRACE_KIND_MIN] for base in bases])
