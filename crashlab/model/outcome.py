"""The outcome of one trial, as plain data."""

import msgspec

from crashlab.model.case import Case
from crashlab.model.finding import Finding, Verdict
from crashlab.model.history import Ended


class Exposure(msgspec.Struct, frozen=True):
    """What lived only in the WAL at the fault, and what the main file alone would be.

    `frames`: committed frames whose page is not identical in main. `rows` and `seconds`: acked effects
    that the main file alone does not hold, and the age of the oldest of them at the end of the run.
    `main_alone`: readable, no-schema, malformed, empty or missing.
    """

    frames: int = 0
    frames_uncommitted: int = 0
    rows: int = 0
    seconds: float = 0.0
    wal_bytes: int = 0
    main_alone: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What one trial showed. `phase` is where the writer was when it died; `fired` says how, or why not."""

    trial_id: str
    case: Case
    verdict: Verdict
    ended: Ended
    fired: str = ""
    phase: str = ""
    findings: tuple[Finding, ...] = ()
    acked: int = 0
    found: int = 0
    exposure: Exposure = Exposure()
    error: str = ""
    case_dir: str = ""
    settings: dict[str, str] = {}
    timings_us: dict[str, int] = {}
