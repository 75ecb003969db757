"""Taking a campaign up again: what its records hold, each trial once, and where the next one goes."""

import os

import msgspec

from crashlab.engine.campaign import Tally
from crashlab.engine.results.plan import RunPlan
from crashlab.engine.results.read import Records
from crashlab.errors import RecordError, UsageError
from crashlab.model.event import EventKind


class Numbers:
    """A set of small whole numbers, one byte each: of 10^6 trials a megabyte."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and 0 <= number < len(self._held) and bool(self._held[number])

    def add(self, number: int) -> bool:
        """Add a number; False if it was there already."""
        if number in self:
            return False
        if number >= len(self._held):
            self._held.extend(bytes(number + 1 - len(self._held) + len(self._held) // 2))
        self._held[number] = 1
        self._count += 1
        return True


class Recorded(msgspec.Struct):
    """What the records of a run hold.

    `done`: numbers of the trials that have an outcome. `whole`: bytes of whole lines, `torn` of the last one that a
    kill cut off. `doubled`: outcomes of trials that had one already, not counted. `stop`: why the campaign stopped,
    empty if it never said so. `seq`: number of the next event. `sittings`: how often it was started and taken up.
    """

    plan: RunPlan
    tally: Tally
    done: Numbers
    whole: int = 0
    torn: int = 0
    doubled: int = 0
    stop: str = ""
    seq: int = 0
    sittings: int = 0


class _Finished(msgspec.Struct):
    stop: str


def read_recorded(path: str | os.PathLike[str], *, name: str = "campaign") -> Recorded:
    """Read the records of a `run`, of the campaign called `name`.

    Raises:
        RecordError: they are damaged, or none.
        UsageError: of something else than `run` over a subject.
    """
    records = Records(path)
    found: Recorded | None = None
    for record in records:
        if record.kind == EventKind.RUN_STARTED and found is None:
            plan = records.data(record, RunPlan)
            if plan.command != "run" or not plan.code:
                raise UsageError(
                    f"{records.path}: records of `{plan.command}`, which cannot be taken up again; "
                    "`run` of a subject can"
                )
            found = Recorded(plan, Tally(keep=False), Numbers())
        if found is None:
            raise UsageError(
                f"{records.path}: they do not begin with the plan of a run, so there is nothing to take up again; "
                "expected the records of `crashlab run` over a subject"
            )
        found.seq = record.seq + 1
        if record.kind == EventKind.CAMPAIGN_STARTED:
            found.sittings += 1
        elif record.kind == EventKind.CAMPAIGN_FINISHED:
            found.stop = records.data(record, _Finished).stop
        elif record.kind == EventKind.TRIAL_FINISHED:
            outcome = records.outcome(record)
            if found.done.add(trial_number(outcome.trial_id, name, str(records.path))):
                found.tally.add(outcome)
            else:
                found.doubled += 1
    if found is None:
        raise UsageError(
            f"{records.path}: nothing was recorded before the run was ended; start it again without --resume"
        )
    found.whole, found.torn = records.whole, records.torn
    return found


def trial_number(trial_id: str, name: str, where: str) -> int:
    """Return the number in a trial's id, `NAME-000017`.

    Raises:
        RecordError: it has none.
    """
    head, _, digits = trial_id.rpartition("-")
    if head != name or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise RecordError(f"{where}: trial {trial_id[:80]!r}: expected {name}-NUMBER, as `run` names them")
    return int(digits)
