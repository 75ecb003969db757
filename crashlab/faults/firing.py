"""Whether a fault happened: decided from the wait status and the log, never from intention."""

import msgspec

from crashlab.model.history import Ended, EndKind, History


class Firing(msgspec.Struct, frozen=True):
    """`fired` and how, in words; or not, and what happened instead."""

    fired: bool
    how: str


def log_says_fired(history: History) -> bool:
    """True if the writer's own log has the mark of the crash point."""
    return any(note.text.startswith("fired: ") for note in history.notes)


def describe_end(ended: Ended) -> str:
    """Say in words how the writer ended."""
    match ended.kind:
        case EndKind.SIGNALLED:
            return f"ended by signal {ended.code}"
        case EndKind.DEADLINE:
            return "was ended at its deadline"
        case _:
            return f"exited with code {ended.code}"
