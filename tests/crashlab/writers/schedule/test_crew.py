"""A crew keeps the contract of `decide` with processes: replays, waits, kills, ends told by name, no process left."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from crashlab.errors import LabError, SubjectError
from crashlab.writers.schedule.decide import ENDLESS, Grant, Mark, Why
from crashlab.writers.schedule.processes.crew import Crew
from crashlab.writers.schedule.processes.memory import Shared
from crashlab.writers.schedule.processes.turns import ProcessTurns

CALL = 3
STEPS, CALLS = 3, 5
TOLD = 9


class Counting:
    """Passes a point for each step and for each call in it; orders say what else it does."""

    def __init__(self, turns: ProcessTurns) -> None:
        self._turns, self._shared = turns, turns.shared

    def open(self, actors: tuple[int, ...], order: bytes) -> None:
        self._order = order.decode()
        if self._order == "no-open":
            raise RuntimeError("no such file")

    def play(self, actor: int) -> None:
        turns = self._turns
        if self._order == "raises":
            raise RuntimeError("nobody is home")
        for step in range(STEPS):
            turns.step_begins()
            for _ in range(CALLS):
                told = self._call()
                if told is not None:
                    self._shared.append(2, actor, b"%d" % told)
            if self._order.startswith("waits") and not turns.wait(Mark.BUSY, timed=self._order != "waits-forever"):
                self._shared.append(3, actor, b"")
            if self._order.startswith("asks") and not step:
                turns.wait(Mark.LOCK, self._all_others_done, timed=False)
                self._shared.append(5, actor, b"")
            if self._order == "spins":
                while True:
                    pass
            if self._order == "sleeps":
                time.sleep(60)
            if self._order == "dies":
                os.kill(os.getpid(), signal.SIGTERM)
            self._shared.append(1, actor, b"%d" % step)
            turns.step_ends()

    def close(self) -> None:
        self._shared.append(4, 0, b"")

    def _all_others_done(self) -> bool:
        return len(self._shared.records()) >= (2 * STEPS if self._order == "asks" else 99)

    def _call(self) -> int | None:
        turns = self._turns
        if turns.left:
            turns.left -= 1
        else:
            told = turns.stop(CALL, None if self._order == "deaf" else object())  # type: ignore[arg-type]
            if told is not None:
                return told
        turns.trace += bytes((turns.base | CALL, 0))
        return None


class Preempting:
    """Takes control away after so many points, and gives it to another; then lets everybody go on."""

    def __init__(self, seed: int, faults: Sequence[str] = ()) -> None:
        self._rng = random.Random(seed)
        self._calls = [self._rng.randint(1, 12) for _ in range(4)]
        self._faults = list(faults)

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Grant:
        others = [other for other in runnable if other != actor] or list(runnable)
        fault = self._faults.pop(0) if self._faults and self._calls else ""
        return Grant(self._rng.choice(others), self._calls.pop(0) if self._calls else ENDLESS, fault)


class Replaying:
    def __init__(self, segments: Sequence[tuple[int, int, str]]) -> None:
        self._segments = list(segments)

    def __call__(self, why: Why, actor: int, call: int, points: int, runnable: Sequence[int], /) -> Grant:
        return Grant(*self._segments.pop(0))


def strike(crew: Crew, actor: int, fault: str, call: int) -> bool:
    if fault == "kill":
        crew.kill(actor)
    elif fault == "power":
        crew.stop_here("power")
    elif fault == "io":
        crew.answer(actor, TOLD)
    else:
        return False
    return True


@contextmanager
def crew_of(**options: Any) -> Iterator[Crew]:
    turns = ProcessTurns(Shared(4 * options.get("points_max", 500)))
    made = Crew(turns, Counting(turns), **options)
    try:
        yield made
    finally:
        made.close()
        turns.close()
        turns.shared.close()


@pytest.fixture
def crew():
    with crew_of(points_max=500, grant_s=0.5, strike=strike) as made:
        yield made
    assert not any(made.members.pids)


def told(crew: Crew, kind: int) -> list[tuple[int, bytes]]:
    return [(record.process, record.payload) for record in crew.shared.records() if record.kind == kind]


def test_a_schedule_is_told_by_its_segments_and_replays_from_them(crew):
    seen = set()
    for seed in range(20):
        course = crew.run([0, 1, 2], [b""] * 3, Preempting(seed))
        first = (course.segments, crew.shared.trace(), crew.shared.records())
        assert sum(calls for _, calls, _ in course.segments) == 3 * STEPS * (CALLS + 1)
        assert len(first[1]) == 2 * 3 * STEPS * (CALLS + 1)
        again = crew.run([0, 1, 2], [b""] * 3, Replaying(course.segments))
        assert (again.segments, crew.shared.trace(), crew.shared.records()) == first
        seen.add(first[1])
    assert len(seen) > 15


def test_a_wait_ends_when_another_completes_a_step_or_when_nobody_else_can_run(crew):
    crew.run(
        [0, 1, 2],
        [b"waits", b"", b""],
        Replaying([(0, 6, ""), (1, 99, ""), (0, 99, ""), (2, 99, ""), *[(0, 99, "")] * 9]),
    )
    assert told(crew, 3) == [(0, b"")]  # the third; the others ended with the steps of actors 1 and 2
    course = crew.run([0, 1, 2], [b"waits-forever", b"", b""], Replaying([(1, 99, ""), (2, 99, ""), (0, 99, "")]))
    assert course.gave_up == "deadlock"


def test_a_killed_actor_is_gone_the_others_go_on_and_it_is_there_again_in_the_next_schedule(crew):
    course = crew.run([0, 1, 2], [b""] * 3, Replaying([(0, 8, "kill"), (1, 99, ""), (2, 99, "")]))
    assert course.segments == [(0, 8, "kill"), (1, 18, ""), (2, 18, "")]
    assert course.ends == ["killed", "", ""]
    assert told(crew, 1) == [(0, b"0"), *[(actor, b"%d" % n) for actor in (1, 2) for n in range(STEPS)]]
    assert len(told(crew, 4)) == 2
    assert crew.run([0, 1, 2], [b""] * 3, Preempting(3)).ends == ["", "", ""]


def test_two_actors_of_one_process_are_threads_and_die_together():
    with crew_of(strike=strike) as crew:
        first = crew.run([0, 0, 1], [b"", b""], Preempting(5))
        calls, trace = [calls for _, calls, _ in first.segments], crew.shared.trace()
        assert sum(calls) == 3 * STEPS * (CALLS + 1)
        assert len(calls) > 3
        assert (crew.run([0, 0, 1], [b"", b""], Replaying(first.segments)).segments, crew.shared.trace()) == (
            first.segments,
            trace,
        )
        course = crew.run([0, 0, 1], [b"", b""], Replaying([(1, 5, ""), (0, 8, "kill"), (2, 99, "")]))
        assert course.ends == ["killed", "killed", ""]
        assert crew.run([0, 0, 1], [b"", b""], Preempting(6)).ends == ["", "", ""]


def test_who_asks_for_something_is_woken_when_anybody_has_moved_and_waits_on_in_vain(crew):
    course = crew.run([0, 1, 2], [b"asks", b"", b""], Preempting(4))
    assert course.gave_up == ""
    assert told(crew, 5) == [(0, b"")]
    assert crew.run([0, 1, 2], [b"asks-in-vain", b"", b""], Preempting(4)).gave_up == "deadlock"


def test_an_answer_is_given_in_the_place_of_the_call_before_which_the_actor_stood(crew):
    course = crew.run([0, 1, 2], [b""] * 3, Replaying([(0, 8, "io"), (1, 99, ""), (0, 99, ""), (2, 99, "")]))
    assert told(crew, 2) == [(0, b"%d" % TOLD)]
    assert course.segments == [(0, 8, "io"), (1, 18, ""), (0, 9, ""), (2, 18, "")]


def test_a_fault_that_cannot_befall_the_call_is_no_part_of_the_segments(crew):
    course = crew.run([0, 1, 2], [b""] * 3, Replaying([(0, 8, "none-such"), (0, 99, ""), (1, 99, ""), (2, 99, "")]))
    assert course.segments == [(0, 8, ""), (0, 10, ""), (1, 18, ""), (2, 18, "")]


def test_all_are_killed_where_the_power_goes(crew):
    course = crew.run([0, 1, 2], [b""] * 3, Replaying([(0, 8, ""), (1, 3, "power")]))
    assert (course.gave_up, course.segments) == ("power", [(0, 8, ""), (1, 3, "power")])
    assert told(crew, 4) == []


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (b"spins", "spins: actor b at test_crew.py:"),
        (b"sleeps", "waits: actor b at test_crew.py:"),
    ],
)
def test_an_actor_that_does_not_come_back_is_told_by_what_it_does_and_where(crew, order, says):
    began = time.monotonic()
    course = crew.run([0, 1, 2], [b"", order, b""], Replaying([(1, 99, "")]))
    assert course.gave_up.startswith(says)
    assert course.gave_up.endswith(" in play")
    assert time.monotonic() - began < 5
    assert crew.run([0, 1, 2], [b""] * 3, Preempting(3)).gave_up == ""


def test_an_actor_that_ends_by_itself_or_raises_is_told_and_the_others_go_on(crew):
    course = crew.run([0, 1, 2], [b"dies", b"raises", b""], Preempting(2))
    assert course.ends[0] == "died: signal 15"
    assert course.ends[1].startswith("raised: RuntimeError: nobody is home (at test_crew.py:")
    assert course.ends[2] == ""
    assert len(told(crew, 1)) == STEPS


def test_what_cannot_be_run_is_refused_by_name(crew):
    with pytest.raises(SubjectError, match="process 1, opening: raised: RuntimeError: no such file"):
        crew.run([0, 1, 2], [b"", b"no-open", b""], Preempting(1))
    with pytest.raises(LabError, match="chose actor 7, who cannot run"):
        crew.run([0, 1, 2], [b""] * 3, Replaying([(7, 1, "")]))
    with crew_of() as plain, pytest.raises(LabError, match="fault 'kill'"):
        plain.run([0], [b""], Replaying([(0, 1, "kill")]))


def test_too_many_points_end_a_schedule(crew):
    with crew_of(points_max=7) as small:
        assert small.run([0], [b""], Replaying([(0, ENDLESS, "")] * 9)).gave_up == "points"
