"""Events: one union for the log, the records on disk, and everybody who listens."""

from enum import StrEnum
from typing import Any

import msgspec

FORMAT_VERSION = 1


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened in a campaign; `ns` is monotonic and never decides anything."""

    seq: int
    ns: int
    kind: str
    trial_id: str = ""
    data: dict[str, Any] = {}
    format_version: int = FORMAT_VERSION


class EventKind(StrEnum):
    """The kinds of events that the engine and the gate emit."""

    RUN_STARTED = "run-started"
    RUN_RESUMED = "run-resumed"
    CAMPAIGN_STARTED = "campaign-started"
    TRIAL_FINISHED = "trial-finished"
    CAMPAIGN_FINISHED = "campaign-finished"
    GATE_STARTED = "gate-started"
    ROW_STARTED = "row-started"
    ROW_FINISHED = "row-finished"
    EXPLORED = "explored"
    SWEPT = "swept"
    GATE_FINISHED = "gate-finished"
    NOTE = "note"
