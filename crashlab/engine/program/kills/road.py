"""Real kills as a road: a case, which names a signal and its moment, becomes an outcome.

Each trial in flight has a keeper of its own, and each trial a working directory and a TMPDIR of its own.
"""

import itertools
import os
import queue
import re
import sys
import threading
from pathlib import Path

import msgspec

from crashlab.engine.program.kills.case import KilledCase, save_killed_case
from crashlab.engine.program.kills.keeper_client import KeeperClient
from crashlab.engine.program.kills.learn import Learned, learn
from crashlab.engine.program.kills.moments import ACK, OPEN, SIGNALS, Hit, parse_hit
from crashlab.engine.program.kills.orders import EVIDENCE, WORK, Judged, KeeperOrder, Look
from crashlab.engine.program.kills.read import remove_tree
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.errors import CrashlabError, LabError, LimitError
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Exposure, Outcome
from crashlab.model.program import Program
from crashlab.writers.tree.run import TIME_LIMIT, TreeLimits

__all__ = ["KillRoad"]


class KillRoad:
    """Trials of one command. `looks`: what each judged trial found, in the order in which they ended.

    Raises:
        LabError: not on Linux.
    """

    def __init__(
        self,
        program: Program,
        copy: PrivateCopy,
        area: Path,
        *,
        keep: Path | None = None,
        environment: dict[str, str] | None = None,
        limits: TreeLimits | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise LabError(
                f"real kills of a command need Linux, and this is {sys.platform}; the lab tracks its tree there"
            )
        self._program, self._area, self._keep = program, area, keep
        self._stamp = environment or {}
        self._order = KeeperOrder(
            str(area / "learn"),
            str(copy.before),
            str(copy.work),
            copy.redirect(program.argv),
            program.name,
            environment=copy.environment(),
            ack_on=program.ack_on,
            limits=limits or TreeLimits(seconds=program.timeout_s),
            restart=copy.redirect(program.restart) if program.restart else (),
        )
        self._idle: queue.SimpleQueue[KeeperClient] = queue.SimpleQueue()
        self._all: list[KeeperClient] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self._kept = 0
        self.learned: Learned | None = None
        self.looks: list[tuple[Look, ...]] = []
        self.restarts = 0

    def learn(self) -> Learned:
        """Run the program without a kill; needed before the first trial.

        Raises:
            UsageError: it cannot be started.
            LabError: it cannot be judged, or is not to be done.
            LimitError: it met a limit.
        """
        keeper = self._take()
        self.learned = learn(keeper, msgspec.structs.replace(self._order, area=str(keeper.root / "learn")))
        self._idle.put(keeper)
        return self.learned

    def run(self, case: Case, trial_id: str, *, keep: bool = True) -> Outcome:
        """Run one trial."""
        learned = self.learned
        if learned is None or learned.reference is None:
            raise LabError("nothing was learned of the program, so there is nothing to judge a trial by")
        hit = parse_hit(case.fault)
        keeper = self._take()
        order = msgspec.structs.replace(
            self._order,
            area=str(keeper.root / f"t{next(self._numbers):06d}"),
            signal=int(SIGNALS[hit.kind]),
            after_open=hit.after == OPEN,
            after_acks=hit.acks,
            delay_us=hit.delay_us,
            grace_s=hit.grace_ms / 1000,
            reference=learned.reference,
            keep=keep and self._keep is not None,
        )
        try:
            judged = keeper.run(order)
        except CrashlabError as error:
            return Outcome(trial_id, case, Verdict.ERROR, Ended(EndKind.DEADLINE, 0), error=str(error))
        finally:
            self._idle.put(keeper)
        outcome = self._outcome(case, trial_id, hit, judged)
        if judged.findings and order.keep:  # then the keeper has left its directory to us
            try:
                if outcome.verdict is Verdict.FAIL:
                    outcome = msgspec.structs.replace(outcome, case_dir=self._save(order, hit, judged))
            finally:
                remove_tree(Path(order.area))
        return outcome

    def _outcome(self, case: Case, trial_id: str, hit: Hit, judged: Judged) -> Outcome:
        ran = judged.ran
        ended = Ended(
            EndKind.SIGNALLED if ran.code < 0 else EndKind.EXITED,
            abs(ran.code),
            hung_up=hit.kind == "hup",
            grace_kill="was killed" in ran.how,
            end_ns=ran.end_us * 1000,
            stderr=ran.stderr[-500:],
        )
        outcome = Outcome(
            trial_id,
            case,
            Verdict.PASS,
            ended,
            fired=ran.how or f"it had ended after {ran.end_us / 1000:.1f} ms, with exit code {ran.code}",
            acked=len(ran.acked),
            findings=judged.findings,
            found=sum(look.rows for look in judged.looks),
            exposure=Exposure(frames=max((look.frames for look in judged.looks), default=0)),
            timings_us={"program": ran.end_us, "hit": ran.hit_us},
        )
        error = judged.problem
        if ran.elsewhere:
            error = f"the program opened the database {ran.elsewhere[0]}, outside the private copy, and was ended"
        elif judged.work_gone:
            error = "the program had removed its working directory"
        elif ran.limit and not ran.limit.startswith(TIME_LIMIT):  # the time may be up before the moment comes
            error = f"the program: {ran.limit}"
        if error:
            return msgspec.structs.replace(outcome, verdict=Verdict.ERROR, error=error, findings=())
        if not ran.fired:
            return msgspec.structs.replace(outcome, verdict=Verdict.MISSED, fired=ran.limit or outcome.fired)
        if judged.findings:
            outcome = msgspec.structs.replace(outcome, verdict=Verdict.FAIL)
        elif not judged.looks and not judged.restarted:
            return msgspec.structs.replace(outcome, verdict=Verdict.INCONCLUSIVE, fired="it had no database yet")
        with self._lock:
            self.looks.append(judged.looks)
            self.restarts += judged.restarted
        return outcome

    def _save(self, order: KeeperOrder, hit: Hit, judged: Judged) -> str:
        area = Path(order.area)
        left = area / EVIDENCE if (area / EVIDENCE).is_dir() else area / WORK
        first = judged.findings[0]
        ran = judged.ran
        again = hit
        if ran.acked:  # by the last ack that was out the moment is found again on a slower or busier machine
            delay_us = max(0, ran.hit_us - ran.acked[-1].us)  # it may have come out of the pipe after the kill
            again = msgspec.structs.replace(hit, after=ACK, acks=len(ran.acked), delay_us=delay_us)
        case = KilledCase(
            order.subject,
            str(again),
            str(first.identity),
            first.message,
            order.ack_on,
            len(ran.acked),
            judged.restarted,
            order.limits.seconds,
        )
        with self._lock:
            number = self._kept
            self._kept += 1
        name = re.sub(r"\W+", "-", f"{first.identity.oracle}-{first.identity.invariant}")
        directory = Path(self._keep or "") / f"{number:02d}-{name}"
        try:
            save_killed_case(directory, case, judged, left, self._stamp)
        except LimitError:  # no room to keep it is no reason to lose what was found
            return ""
        return os.fspath(directory)

    def _take(self) -> KeeperClient:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            if self._closed:
                raise LabError("the road is closed: no more trials run on it")
            keeper = KeeperClient(self._area / f"slot{len(self._all)}")
            self._all.append(keeper)
            return keeper

    def close(self) -> None:
        """End every keeper and what it runs."""
        with self._lock:
            self._closed = True
            for keeper in self._all:
                keeper.close()
            self._all.clear()
