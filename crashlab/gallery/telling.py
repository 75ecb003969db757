"""What one run of an exhibit showed, as plain data; words and tables are made from this alone."""

from enum import StrEnum

import msgspec

FORMAT_VERSION = 1


class Result(StrEnum):
    """How a run compares with what was to be seen.

    AS_EXPECTED, or UNEXPECTED with the features that differ. SKIPPED: it cannot run here, `why` names what is
    missing. ERROR: the lab broke. The last two are never a pass.
    """

    AS_EXPECTED = "as expected"
    UNEXPECTED = "unexpected"
    SKIPPED = "skipped"
    ERROR = "error"


class Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the story: what was done, and what was then on disk (lines of text, only what changed)."""

    done: str
    seen: tuple[str, ...] = ()


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows acked, and what the next opener found of them. `unacked`: there without an ack. `changed`: other content."""

    acked: int = 0
    found: int = 0
    lost: int = 0
    unacked: int = 0
    changed: int = 0
    lost_examples: tuple[str, ...] = ()


class Telling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of one side of an exhibit.

    `showed`: the damage's picture was there. `features`: all that was observed. `differs`: feature, expected,
    seen. `checks`: what quick_check and integrity_check said, a few lines. `sqlite`: version the actors used.
    """

    exhibit: str
    control: bool
    seed: int
    sqlite: str
    result: Result
    showed: bool = False
    why: str = ""
    moments: tuple[Moment, ...] = ()
    rows: Rows = Rows()
    checks: dict[str, tuple[str, ...]] = {}
    features: dict[str, str] = {}
    differs: tuple[tuple[str, str, str], ...] = ()
    seconds: float = 0.0
    format_version: int = FORMAT_VERSION


def matches(picture: "dict[str, str]", features: dict[str, str]) -> bool:
    """Whether every feature of a picture was seen."""
    return not differences(picture, features)


def differences(picture: "dict[str, str]", features: dict[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return (feature, expected, seen) for each feature of a picture that was not seen so."""
    return tuple(
        (name, wanted, features.get(name, "not observed"))
        for name, wanted in picture.items()
        if features.get(name) not in wanted.split("|")
    )
