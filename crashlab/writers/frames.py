"""Length-prefixed msgpack frames over a file descriptor pair."""

import struct
from typing import Protocol, TypeVar

import msgspec

from crashlab.errors import LabError

_LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 256 << 20
T = TypeVar("T")


class Readable(Protocol):
    """A buffered binary stream that blocks until it has all the bytes or the end."""

    def read(self, size: int, /) -> bytes:
        """Read exactly `size` bytes, fewer only at the end."""


class Writable(Protocol):
    """A binary stream."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""

    def flush(self) -> None:
        """Push it out."""


def send_frame(stream: Writable, message: object) -> None:
    """Write one frame and flush it.

    Raises:
        OSError: the other side is gone.
    """
    data = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: Readable, kind: type[T]) -> T | None:
    """Read one frame; None at end of file.

    Raises:
        LabError: a torn frame, one beyond the limit, or one of another kind.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise LabError("a worker's message was torn in its length")
    (length,) = _LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise LabError(f"a worker's message of {length} bytes is over the limit of {FRAME_BYTES_MAX}")
    data = stream.read(length)
    if len(data) < length:
        raise LabError(f"a worker's message was torn: {len(data)} of {length} bytes")
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise LabError(f"a worker's message has the wrong form ({error})") from None
