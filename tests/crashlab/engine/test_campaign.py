"""Limits, reasons for stopping and the count of everything; with a road that only answers, and with real kills."""

import errno
import itertools
import threading
import time

import msgspec
import pytest

from crashlab.engine.campaign import ERRORS_MAX, Limits, StopReason, Tally, run_campaign
from crashlab.engine.events import Emitter
from crashlab.errors import LimitError
from crashlab.model.case import Case
from crashlab.model.event import Event
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome

CASE = Case("s", 1, "kill@ack#1")
FINDING = Finding(Identity("durability", "acked-row-lost", "s", "process death"), "a row is gone")


class Answers:
    """A road that gives the same verdict to every case, or what `answer(number)` says."""

    def __init__(self, answer=Verdict.PASS, seconds=0.0):
        self._answer = answer if callable(answer) else lambda number: answer
        self._seconds = seconds
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.running = self.most = 0
        self.closed = False
        self.kept = []

    def run(self, case, trial_id, *, keep=True):
        with self._lock:
            number = next(self._numbers)
            self.running += 1
            self.most = max(self.most, self.running)
            self.kept.append(keep)
        time.sleep(self._seconds)
        with self._lock:
            self.running -= 1
        verdict = self._answer(number)
        if isinstance(verdict, BaseException):
            raise verdict
        findings = (FINDING,) if verdict is Verdict.FAIL else ()
        return Outcome(
            trial_id, case, verdict, Ended(EndKind.SIGNALLED, 9), phase="commit,checkpoint", findings=findings
        )

    def close(self):
        self.closed = True


class Heard:
    def __init__(self):
        self.events: list[Event] = []
        self.emitter = Emitter(self.events.append)

    def kinds(self):
        return [event.kind for event in self.events]


@pytest.fixture
def heard():
    return Heard()


def campaign(road, executor, heard, *, cases=None, limits=None, **more):
    return run_campaign(
        road, cases or itertools.repeat(CASE), executor, limits or Limits(trials_max=10), heard.emitter, **more
    )


def test_it_ends_when_the_cases_do(executor, heard):
    tally = campaign(Answers(), executor, heard, cases=iter([CASE] * 7), limits=Limits())
    assert (tally.stop, tally.verdicts, len(tally.outcomes)) == (StopReason.DONE, {Verdict.PASS: 7}, 7)
    assert heard.kinds() == ["campaign-started", *["trial-finished"] * 7, "campaign-finished"]
    assert [event.seq for event in heard.events] == list(range(9))
    last = heard.events[-1].data
    assert (last["stop"], last["verdicts"], last["name"]) == ("all cases run", {"PASS": 7}, "campaign")
    data = msgspec.json.encode(heard.events)
    assert msgspec.json.encode(msgspec.json.decode(data, type=list[Event])) == data


def test_trials_have_names_of_their_own(executor, heard):
    tally = campaign(Answers(), executor, heard, name="gate")
    assert sorted(o.trial_id for o in tally.outcomes) == [f"gate-{number:06d}" for number in range(10)]


def test_the_number_of_trials_is_limited(executor, heard):
    tally = campaign(Answers(), executor, heard, limits=Limits(trials_max=5))
    assert (len(tally.outcomes), tally.stop) == (5, StopReason.DONE)


def test_the_time_is_limited(executor, heard):
    tally = campaign(Answers(seconds=0.01), executor, heard, limits=Limits(seconds=0.2))
    assert tally.stop is StopReason.BUDGET
    assert 0.2 <= tally.seconds < 10
    assert tally.outcomes


def test_failures_are_limited(executor, heard):
    tally = campaign(Answers(Verdict.FAIL), executor, heard, limits=Limits(failures_max=4, slots=2))
    assert tally.stop is StopReason.FAILURES
    assert 4 <= tally.count(Verdict.FAIL) <= 5
    assert tally.identities == {FINDING.identity: tally.count(Verdict.FAIL)}


def test_a_lab_that_breaks_too_often_stops(executor, heard):
    tally = campaign(Answers(Verdict.ERROR), executor, heard, limits=Limits(slots=1))
    assert (tally.stop, tally.count(Verdict.ERROR)) == (StopReason.ERRORS, ERRORS_MAX)


def test_no_more_trials_than_slots_are_in_flight(executor, heard):
    road = Answers(seconds=0.01)
    campaign(road, executor, heard, limits=Limits(trials_max=30, slots=2))
    assert road.most == 2


def test_only_what_was_judged_counts_for_a_phase(executor, heard):
    verdicts = [Verdict.PASS, Verdict.FAIL, Verdict.MISSED, Verdict.ERROR]
    tally = campaign(Answers(lambda n: verdicts[n % 4]), executor, heard, limits=Limits(trials_max=8))
    assert tally.verdicts == dict.fromkeys(verdicts, 2)
    assert tally.phases == {"commit": 4, "checkpoint": 4}


def test_a_full_disk_of_the_labs_own_stops_it_and_keeps_the_results(executor, heard):
    calls = itertools.count()

    def check_room():
        if next(calls) >= 5:
            raise LimitError("the lab's own disk is nearly full")

    tally = campaign(Answers(), executor, heard, limits=Limits(slots=1), check_room=check_room)
    assert tally.stop is StopReason.DISK_FULL
    assert tally.verdicts == {Verdict.PASS: len(tally.outcomes)}
    assert tally.outcomes


def test_a_trial_that_meets_a_full_disk_stops_it_and_is_no_finding(executor, heard):
    full = OSError(errno.ENOSPC, "No space left on device")
    tally = campaign(Answers(lambda n: full if n == 3 else Verdict.PASS), executor, heard, limits=Limits(slots=1))
    assert (tally.stop, tally.verdicts) == (StopReason.DISK_FULL, {Verdict.PASS: 3})


def test_another_error_of_the_lab_is_not_hidden(executor, heard):
    road = Answers(lambda n: PermissionError(errno.EACCES, "denied") if n == 3 else Verdict.PASS)
    with pytest.raises(PermissionError):
        campaign(road, executor, heard)
    assert heard.kinds()[-1] == "campaign-finished"


def test_an_interrupt_keeps_the_tally_closes_the_road_and_goes_on(executor, heard):
    tally = Tally()
    road = Answers()

    def cases():
        yield from [CASE] * 4
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign(road, executor, heard, cases=cases(), limits=Limits(slots=1), tally=tally)
    assert (tally.stop, tally.count(Verdict.PASS)) == (StopReason.INTERRUPTED, 4)
    assert road.closed
    assert heard.events[-1].data["stop"] == "interrupted"


def test_cases_may_look_at_what_earlier_ones_showed(executor, heard):
    tally = Tally()

    def cases():
        while tally.count(Verdict.PASS) < 6:
            yield CASE

    campaign(Answers(), executor, heard, cases=cases(), limits=Limits(slots=1), tally=tally)
    assert len(tally.outcomes) == 6


def test_a_second_campaign_adds_to_the_tally_and_has_failures_of_its_own(executor, heard):
    tally = Tally()
    for _ in range(2):
        campaign(Answers(Verdict.FAIL), executor, heard, limits=Limits(failures_max=3, slots=1), tally=tally)
    assert tally.count(Verdict.FAIL) == 6


def test_only_the_first_failing_cases_are_kept(executor, heard):
    road = Answers(Verdict.FAIL)
    campaign(road, executor, heard, limits=Limits(trials_max=20, slots=1))
    assert road.kept[0]
    assert not road.kept[-1]


def test_a_campaign_of_real_kills_counts_them_all(make_road, executor, heard):
    road = make_road()
    faults = ["kill@ack#3", "kill@phase=commit#4", "kill@ack#51", "none"]
    cases = (Case("plain", seed, faults[seed % 4]) for seed in range(24))
    tally = campaign(road, executor, heard, cases=cases, limits=Limits(slots=3))
    assert tally.verdicts == {Verdict.PASS: 18, Verdict.MISSED: 6}, [o.error for o in tally.outcomes]
    assert tally.phases == {"between": 6, "commit": 6}
    assert tally.identities == {}
