"""Cases: pure data, replayable; opening a stranger's case runs nothing of his."""

import hashlib
import re
from typing import TypeAlias

import msgspec

from crashlab.errors import RecordError
from crashlab.model.seed import subseed

Param: TypeAlias = bool | int | float | str
FORMAT_VERSION = 1
CASE_BYTES_MAX = 1 << 20
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One replayable input: a subject's name, its parameters, a seed and a fault's canonical text.

    A case never holds a module path or a command: the subject's name is looked up in the configuration
    of whoever replays it. `deadline_s` and
    `steps_max` (steps of each lane) bound the writer's run.
    """

    subject: str
    seed: int
    fault: str
    params: dict[str, Param] = {}
    deadline_s: float = 20.0
    steps_max: int = 100_000
    format_version: int = FORMAT_VERSION

    @property
    def case_id(self) -> str:
        """Twelve hex digits that name this input and no other."""
        return hashlib.blake2b(self.encode(), digest_size=6).hexdigest()

    def subseed(self, *fields: object) -> int:
        """Return the sub-seed for a named field of this case."""
        return subseed(self.seed, *fields)

    def encode(self) -> bytes:
        """Return the canonical JSON form: the same case gives the same bytes."""
        return msgspec.json.encode(self, order="sorted")


def decode_case(data: bytes, *, source: str = "case") -> Case:
    """Read a case from JSON.

    Raises:
        RecordError: too large, not JSON, unknown fields, or of a newer format version.
    """
    if len(data) > CASE_BYTES_MAX:
        raise RecordError(f"{source}: {len(data)} bytes, expected at most {CASE_BYTES_MAX}: not a case file")
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version > FORMAT_VERSION or version < 1:
            raise RecordError(
                f"{source}: format version {version}, this crashlab reads up to {FORMAT_VERSION}; "
                "upgrade crashlab to replay it"
            )
        case = msgspec.json.decode(data, type=Case)
    except msgspec.MsgspecError as error:
        raise RecordError(f"{source}: not a case file ({error})") from None
    if not _SUBJECT.fullmatch(case.subject):
        raise RecordError(f"{source}: subject {case.subject!r} is not a subject's name")
    return case


class _Versioned(msgspec.Struct):
    format_version: int = 0
