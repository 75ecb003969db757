"""What a run tells of itself in the log beside its steps; the forms are made and read here only."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from crashlab.model.history import History, NoteRecord, PhaseRecord
from crashlab.model.phase import MARK_CLOSE
from crashlab.model.workload import Context
from harness.workloads.invariants import CLOSED_NOTE
from store import Holdings

LIFE: Final = "store opened"
CLOSING: Final = "store closing"
DIFFERS: Final = "repeat differs: "
SWALLOWED: Final = "locked and not told: "
LOCKED: Final = "database is locked"

# What the store rightly warns of in a run without any fault.
_EXPECTED: Final = ("store WARNING fill ", "store WARNING order ", "store ERROR inventory drift ")


class Ending(NamedTuple):
    """A shutdown that was begun: what it was told, and how it went so far."""

    reason: str
    engine_total: Holdings
    detail: str
    done: bool = False
    raised: str = ""


class Told(NamedTuple):
    """The notes of process 0: session → shutdown, order → statuses it was acked to have, complaints."""

    endings: dict[int, Ending]
    statuses: dict[str, list[str]]
    complaints: list[str]


class Teller:
    """Puts the notes in the log."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def note(self, text: str) -> None:
        """Put any remark in."""
        self._ctx.note(text)

    def order(self, order_id: str, status: str) -> None:
        """An order's change was acked."""
        self._ctx.note(f"order {order_id} {status}")

    def ending(self, session: int, ending: Ending) -> None:
        """A shutdown begins."""
        xrp, rlusd = ending.engine_total
        self._ctx.note(f"shutdown {session} {ending.reason} {xrp} {rlusd} {ending.detail}")

    def ended(self, session: int, error: BaseException | None) -> None:
        """A shutdown returned, or raised."""
        how = "" if error is None else f"{type(error).__name__}: {error}"
        self._ctx.note(f"shutdown of {session} {f'raised {how}' if how else 'done'}"[:400])


def told(history: History) -> Told:
    """Read the notes."""
    found = Told({}, {}, [])
    for note in history.notes:
        text = note.text
        if note.process:
            continue
        if text.startswith((DIFFERS, SWALLOWED)):
            found.complaints.append(text)
        elif text.startswith("order "):
            _, order_id, status = text.split(" ", 2)
            found.statuses.setdefault(order_id, []).append(status)
        elif text.startswith("shutdown of "):
            _, _, number, how = text.split(" ", 3)
            ending = found.endings[int(number)]
            done = how == "done"
            found.endings[int(number)] = ending._replace(done=done, raised="" if done else how)
        elif text.startswith("shutdown "):
            _, number, reason, xrp, rlusd, detail = text.split(" ", 5)
            found.endings[int(number)] = Ending(reason, Holdings(int(xrp), int(rlusd)), detail)
    return found


def unexpected(history: History) -> History:
    """The history without what the store says and refuses in a run without any fault.

    Else a warning about a late fill, or a write refused because the workload itself held the lock, would
    pass for the answer to an I/O error.
    """
    return msgspec.structs.replace(
        history,
        notes=tuple(note for note in history.notes if not note.text.startswith(_EXPECTED)),
        steps=tuple(step for step in history.steps if LOCKED not in step.error),
    )


def lives(history: History) -> Iterator[History]:
    """Each store's life in the run, opened to closed, as a history with one close."""
    notes = [note for note in unexpected(history).notes if not note.process]
    starts = [note.ns for note in notes if note.text == LIFE]
    for start, end in zip(starts, [*starts[1:], history.last_ns + 1], strict=False):
        own = tuple(note for note in notes if start <= note.ns < end)
        phases = [p for p in history.phases if not p.process and start <= p.enter_ns < end and p.name != MARK_CLOSE]
        phases += [_close(note, own, phases) for note in own if note.text == CLOSING][:1]
        yield msgspec.structs.replace(history, notes=own, phases=tuple(phases))


def _close(closing: NoteRecord, notes: tuple[NoteRecord, ...], phases: list[PhaseRecord]) -> PhaseRecord:
    # The note has a number of its own in the log, after those of the phases entered before it.
    seq = max((phase.enter_seq for phase in phases if phase.enter_ns <= closing.ns), default=0)
    closed = next((note.ns for note in notes if note.text.startswith(CLOSED_NOTE)), 0)
    return PhaseRecord(MARK_CLOSE, 0, 0, closing.ns, seq + 1 if phases else 0, closed)
