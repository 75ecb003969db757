"""Plans: what a small SQL program does, as data with a text that parses back.

    wal FULL 4096 1000 | put 1x20, put 2x900 | del 1 | checkpoint TRUNCATE | vacuum

First the journal mode, `synchronous`, page size in bytes and `wal_autocheckpoint` in pages. Then the
operations in order. One with `put KEYxSIZE` and `del KEY` is one transaction: `put` inserts the key, or
updates it, with a body of SIZE characters. A case carries its plan as a parameter, so it replays without the
generator.
"""

import re
from typing import TypeAlias

import msgspec

from crashlab.errors import UsageError

JOURNALS = ("wal", "delete", "truncate", "persist")
SYNCHRONOUS = ("FULL", "NORMAL", "EXTRA", "OFF")
PAGE_SIZES = (4096, 512, 1024, 2048, 8192, 16384, 32768, 65536)
CHECKPOINTS = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")
KEY_MAX = 1_000_000
SIZE_MAX = 1_000_000
AUTOCHECKPOINT_MAX = 1_000_000
OPERATIONS_MAX = 10_000
TEXT_CHARS_MAX = 500_000

_HEAD = re.compile(r"(\w+) (\w+) (\d{3,5}) (\d{1,7})")
_PUT = re.compile(r"put (\d{1,7})x(\d{1,7})")
_REMOVE = re.compile(r"del (\d{1,7})")
_CHECKPOINT = re.compile(r"checkpoint (\w+)")


class Put(msgspec.Struct, frozen=True, tag=True):
    """Insert a key, or update it, with a body of `size` characters."""

    key: int
    size: int = 0

    def __str__(self) -> str:
        return f"put {self.key}x{self.size}"


class Remove(msgspec.Struct, frozen=True, tag=True):
    """Delete a key, if it is there."""

    key: int

    def __str__(self) -> str:
        return f"del {self.key}"


class Change(msgspec.Struct, frozen=True, tag=True):
    """One transaction."""

    edits: tuple[Put | Remove, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.edits))


class Checkpoint(msgspec.Struct, frozen=True, tag=True):
    """`PRAGMA wal_checkpoint(mode)`; does nothing in the other journal modes."""

    mode: str = "PASSIVE"

    def __str__(self) -> str:
        return f"checkpoint {self.mode}"


class Vacuum(msgspec.Struct, frozen=True, tag=True):
    """`VACUUM`: every page is written anew."""

    def __str__(self) -> str:
        return "vacuum"


Operation: TypeAlias = Change | Checkpoint | Vacuum


class Plan(msgspec.Struct, frozen=True):
    """A program's settings and what it does, in order."""

    operations: tuple[Operation, ...] = ()
    journal: str = "wal"
    synchronous: str = "FULL"
    page_size: int = 4096
    autocheckpoint: int = 1000

    def __str__(self) -> str:
        head = f"{self.journal} {self.synchronous} {self.page_size} {self.autocheckpoint}"
        return " | ".join([head, *map(str, self.operations)])


def parse_plan(text: str) -> Plan:
    """Parse a plan's text.

    Raises:
        UsageError: naming the part that is wrong.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise UsageError(f"plan: {len(text)} characters, expected at most {TEXT_CHARS_MAX}")
    head, *rest = (part.strip() for part in text.split("|"))
    match = _HEAD.fullmatch(head)
    if match is None:
        raise UsageError(f"plan: {head[:80]!r}, expected JOURNAL SYNCHRONOUS PAGE_SIZE AUTOCHECKPOINT first")
    if len(rest) > OPERATIONS_MAX:
        raise UsageError(f"plan: {len(rest)} operations, expected at most {OPERATIONS_MAX}")
    journal, synchronous = _one_of("journal mode", match[1], JOURNALS), _one_of("synchronous", match[2], SYNCHRONOUS)
    page_size = int(match[3])
    if page_size not in PAGE_SIZES:
        raise UsageError(f"plan: page size {page_size}, expected a power of two from 512 to 65536")
    return Plan(tuple(map(_operation, rest)), journal, synchronous, page_size, int(match[4]))


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"plan: {what} {value!r}, expected one of {', '.join(known)}")
    return value


def _operation(text: str) -> Operation:
    if text == "vacuum":
        return Vacuum()
    if match := _CHECKPOINT.fullmatch(text):
        return Checkpoint(_one_of("checkpoint", match[1], CHECKPOINTS))
    return Change(tuple(_edit(part.strip()) for part in text.split(",")))


def _edit(text: str) -> Put | Remove:
    if match := _PUT.fullmatch(text):
        key, size = int(match[1]), int(match[2])
        if key <= KEY_MAX and size <= SIZE_MAX:
            return Put(key, size)
    elif match := _REMOVE.fullmatch(text):
        return Remove(int(match[1]))
    raise UsageError(
        f"plan: {text[:80]!r}, expected put KEYxSIZE (up to {KEY_MAX}x{SIZE_MAX}), del KEY, checkpoint MODE or vacuum"
    )
