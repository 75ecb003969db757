"""Reading a log through maps of its segments, so that a long recording is never in memory as a whole."""

import mmap
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crashlab.errors import RecordError
from crashlab.log.format import segment_name
from crashlab.log.reader import walk_segment
from crashlab.log.record import Record

__all__ = ["Located", "Segments"]

MAPS_MAX = 128
"""Maps kept open at a time: each holds a descriptor."""


class Located(NamedTuple):
    """A record and where its payload lies: segment of the row of segments, offset in that segment.

    `record.payload` is a view into the map, not a copy.
    """

    record: Record
    segment: int
    position: int


class Segments:
    """The segment files of one or more logs, mapped on demand and numbered across all of them."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._maps: OrderedDict[int, memoryview] = OrderedDict()

    def view(self, segment: int) -> memoryview:
        """Return a view of a whole segment; an older map is let go when there are too many."""
        found = self._maps.get(segment)
        if found is None:
            with open(self._paths[segment], "rb") as file:
                found = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self._maps[segment] = found
            if len(self._maps) > MAPS_MAX:
                self._maps.popitem(last=False)
        else:
            self._maps.move_to_end(segment)
        return found

    def read(self, base: str) -> Iterator[Located]:
        """Yield the whole records of one process's log, in order.

        Raises:
            RecordError: a segment is no log, is of a newer version, or its records are not consecutive.
        """
        expected = 0
        number = 0
        while Path(path := segment_name(base, number)).exists():
            for located in self._segment(path):
                seq = located.record.seq
                if seq != expected:
                    raise RecordError(f"{path}: record {seq} where {expected} was expected: the log is damaged")
                expected += 1
                yield located
            number += 1
        if not number:
            raise RecordError(f"{segment_name(base, 0)}: no such log; record a run first")

    def _segment(self, path: str) -> Iterator[Located]:
        if not Path(path).stat().st_size:
            return  # nothing to map; see `walk_segment`
        segment = len(self._paths)
        self._paths.append(path)
        for record, position in walk_segment(path, self.view(segment)):
            yield Located(record, segment, position)
