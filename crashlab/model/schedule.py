"""Schedules: who ran when, as explicit segments, so that a failing one is replayed without what drew it.

A schedule's actors are a workload's lanes, numbered from 0 in the order in which the workload names them. One
actor runs at a time. Before each call of SQLite to its operating system layer, and before each step, lies a
*point*: there control may pass. A segment is one actor's run past so many points.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from crashlab.errors import RecordError, UsageError
from crashlab.model.case import CASE_BYTES_MAX, Param

FORMAT_VERSION = 1
ACTORS_MAX = 8
SEGMENTS_MAX = 100_000
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_SEGMENT = re.compile(r"([a-z])([0-9]+)(?:!([^\s!]+))?")


class Segment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`actor` passes `calls` points, then control is taken from it, before it does what comes next.

    The segment is over earlier where the actor cannot go on: it has finished, or it waits for another. `fault`:
    what befalls the actor where the segment ends ("" nothing), before the call that it was about to make.
    """

    actor: int
    calls: int
    fault: str = ""

    def __str__(self) -> str:
        """Return the text form: `a14`, or with a fault `a14!kill`."""
        return f"{chr(97 + self.actor)}{self.calls}" + (f"!{self.fault}" if self.fault else "")


class Actor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One lane of the workload, and which of its steps are done: their numbers, counted from 0 in its order.

    The lane's other steps are passed over.
    """

    lane: str
    steps: tuple[int, ...]


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the actors do: a subject by its name, its parameters and seed, and the steps of each lane.

    It holds no command and no module path: who replays it looks the subject up in a configuration of his own.
    """

    subject: str
    seed: int
    actors: tuple[Actor, ...]
    params: dict[str, Param] = {}

    @property
    def size(self) -> int:
        """How many steps there are in all."""
        return sum(len(actor.steps) for actor in self.actors)


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interleaving. Points depend on the SQLite: valid for the `engine` (version and source id) that it names.

    After the last segment whoever runs goes on as long as it can, then the lowest number that can. `road`: threads
    of one process, or processes. `digest`: of every call and its result, in order, with who made it; `points`: how
    many there were. `finding`: the identity of what it found, "" for nothing.
    """

    script: Script
    segments: tuple[Segment, ...]
    engine: str
    road: str = "threads"
    points: int = 0
    digest: str = ""
    finding: str = ""
    format_version: int = FORMAT_VERSION

    def encode(self) -> bytes:
        """Return the canonical JSON form."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def name(self) -> str:
        """Twelve hex digits that name what is run, and no other."""
        bare = msgspec.structs.replace(self, points=0, digest="", finding="")
        return hashlib.blake2b(bare.encode(), digest_size=6).hexdigest()


def decode_schedule(data: bytes, *, source: str = "schedule") -> Schedule:
    """Read a schedule from JSON; nothing of it is executed.

    Raises:
        RecordError: too large, not JSON, unknown fields, of a newer format version, or out of range.
    """
    if len(data) > CASE_BYTES_MAX:
        raise RecordError(f"{source}: more than {CASE_BYTES_MAX} bytes: not a schedule")
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise RecordError(
                f"{source}: format version {version}, this crashlab reads {FORMAT_VERSION}; upgrade crashlab"
            )
        schedule = msgspec.json.decode(data, type=Schedule)
    except msgspec.MsgspecError as error:
        raise RecordError(f"{source}: not a schedule ({error})") from None
    script = schedule.script
    if not _SUBJECT.fullmatch(script.subject):
        raise RecordError(f"{source}: subject {script.subject[:60]!r} is not a subject's name")
    if not 0 <= script.seed < 2**64:
        raise RecordError(f"{source}: seed = {script.seed}, expected 0 to 2**64 - 1")
    if not 1 <= len(script.actors) <= ACTORS_MAX:
        raise RecordError(f"{source}: {len(script.actors)} actors, expected 1 to {ACTORS_MAX}")
    if any(not 0 <= s.actor < len(script.actors) or s.calls < 0 for s in schedule.segments):
        raise RecordError(f"{source}: a segment of an actor that there is not, or of less than no points")
    return schedule


def segments_text(segments: Iterable[Segment]) -> str:
    """Return the text form of segments: `a14 b33 a2`."""
    return " ".join(map(str, segments))


def parse_segments(text: str) -> tuple[Segment, ...]:
    """Read segments from their text form.

    Raises:
        UsageError: a word that is no segment, or too many of them.
    """
    words = text.split()
    if len(words) > SEGMENTS_MAX:
        raise UsageError(f"{len(words)} segments, expected at most {SEGMENTS_MAX}")
    found = []
    for word in words:
        match = _SEGMENT.fullmatch(word)
        if match is None or ord(match[1]) - 97 >= ACTORS_MAX:
            raise UsageError(
                f"segment {word[:40]!r}: expected an actor from a to {chr(96 + ACTORS_MAX)} and a number, as a14"
            )
        found.append(Segment(ord(match[1]) - 97, int(match[2]), match[3] or ""))
    return tuple(found)


class _Versioned(msgspec.Struct):
    format_version: int = 0
