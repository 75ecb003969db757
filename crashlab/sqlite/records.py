"""The record format: serial types to Python values.

Format: https://sqlite.org/fileformat2.html#record_format . Any bytes are accepted.
"""

import struct
from typing import NamedTuple

from crashlab.sqlite.btree import varint

__all__ = ["MAX_COLUMNS", "Record", "Value", "decode"]

Value = int | float | str | bytes | None

MAX_COLUMNS = 32767
"""Columns of a record that are looked at: the most that SQLite can be compiled for."""

_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


class Record(NamedTuple):
    """A record's values. ``problem`` is empty or says what is wrong; the values then are those before it.

    Text that is not valid in the database's encoding keeps its bytes: ``surrogateescape`` for UTF-8,
    ``surrogatepass`` for UTF-16; ``problem`` doesn't mention it, since SQLite accepts it.
    """

    values: tuple[Value, ...]
    problem: str


def decode(payload: bytes, encoding: str = "utf-8") -> Record:
    """Decode a record. ``encoding`` is Python's name of the database's text encoding, without byte-order mark."""
    types: list[int] = []
    try:
        length, at = varint(payload, 0)
        if length > len(payload) or length < at:
            return Record((), f"record header of {length} bytes in a record of {len(payload)}")
        while at < length and len(types) < MAX_COLUMNS:
            serial, at = varint(payload, at)
            types.append(serial)
        if at != length:
            return Record((), f"record header ends within a serial type or has more than {MAX_COLUMNS}")
    except IndexError:
        return Record((), f"record of {len(payload)} bytes ends within its header")
    values: list[Value] = []
    for column, serial in enumerate(types):
        if serial in (10, 11):
            return Record(tuple(values), f"column {column} has the reserved serial type {serial}")
        size = _SIZES[serial] if serial < 10 else (serial - 12) >> 1
        behind = at + size
        if behind > len(payload):
            return Record(tuple(values), f"column {column} ends {behind - len(payload)} bytes behind the record")
        values.append(_value(payload[at:behind], serial, encoding))
        at = behind
    if at != len(payload):
        return Record(tuple(values), f"{len(payload) - at} bytes behind the last column")
    return Record(tuple(values), "")


def _value(raw: bytes, serial: int, encoding: str) -> Value:
    if serial >= 12:
        return _text(raw, encoding) if serial & 1 else raw
    if serial == 0:
        return None
    if serial == 7:
        (number,) = struct.unpack(">d", raw)
        return float(number) if number == number else None  # SQLite reads NaN as NULL
    return serial - 8 if serial >= 8 else int.from_bytes(raw, signed=True)


def _text(raw: bytes, encoding: str) -> str:
    if encoding == "utf-8":
        return raw.decode("utf-8", "surrogateescape")
    return raw[: len(raw) & ~1].decode(encoding, "surrogatepass")  # SQLite drops an odd byte at the end
