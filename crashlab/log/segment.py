"""One segment of a log: a file in mapped memory, and how its memory goes on as the next one."""

from __future__ import annotations

import mmap
import os

from crashlab.log.format import HEADER, HEADER_SIZE, MAGIC, NUMBER_SLOT, USED_SLOT, VERSION, copy_name, segment_name


class Segment:
    """A mapped file. `words`: the same memory as 8-byte numbers. `number`: which segment of the log its name says."""

    __slots__ = ("map", "number", "size", "words")

    def __init__(self, number: int, size: int, mapped: mmap.mmap, words: memoryview) -> None:
        self.number = number
        self.size = size
        self.map = mapped
        self.words = words

    @classmethod
    def create(cls, base: str, number: int, size: int, *, process: int, pid: int) -> Segment:
        """Make the file of a log's segment, empty.

        Raises:
            FileExistsError: it is there already.
        """
        descriptor = os.open(segment_name(base, number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, size)
            mapped = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        HEADER.pack_into(mapped, 0, MAGIC, VERSION, process, pid, number)
        words = memoryview(mapped).cast("Q")
        words[USED_SLOT] = HEADER_SIZE
        return cls(number, size, mapped, words)

    def next(self) -> Segment:
        """Return what the segment is called when its memory goes on as the next one."""
        return Segment(self.number + 1, self.size, self.map, self.words)

    @property
    def next_number_word(self) -> int:
        """What to store in the header so that this memory is the next segment; half of the word is the pid."""
        return (self.words[NUMBER_SLOT] & 0xFFFFFFFF) | (self.number + 1) << 32

    def close(self) -> None:
        """Release the map; the file stays."""
        self.words.release()
        self.map.close()


def copy_out(base: str, segment: Segment, used: int, attempt: int) -> str | None:
    """Copy a full segment into a file of its own and let its memory have the next segment's name as well.

    Memory that has been written is written again for a tenth of what fresh memory costs, and a copy in one piece
    costs less than a fault for each page. A reader knows by its number that what has the next name is not begun.
    Returns the copy's path, which is to be renamed to the segment's own; None where files cannot have two names.

    Raises:
        OSError: the disk is full.
    """
    if os.name == "nt":
        return None  # nor can a mapped file be replaced there
    path = copy_name(base, attempt)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            with memoryview(segment.map) as whole:
                done = 0
                while done < used:
                    done += os.write(descriptor, whole[done:used])
        finally:
            os.close(descriptor)
    except BaseException:
        drop_copy(path)
        raise
    try:
        os.link(segment_name(base, segment.number), segment_name(base, segment.number + 1))
    except FileExistsError:
        pass  # an earlier attempt that a signal's handler ended
    except OSError:
        drop_copy(path)
        return None
    return path


def drop_copy(path: str) -> None:
    """Remove a copy that is not wanted."""
    if os.path.lexists(path):
        os.unlink(path)
