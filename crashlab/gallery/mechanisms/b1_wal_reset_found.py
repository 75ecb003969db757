"""B1, found instead of replayed: schedules that know nothing of the bug come upon it, and it is made small."""

from pathlib import Path

from crashlab.engine.schedules.client import Explorer
from crashlab.engine.schedules.explore import Budget, Failure
from crashlab.engine.schedules.generic import GENERIC
from crashlab.engine.schedules.orders import Greeting
from crashlab.engine.schedules.spans import spans_of
from crashlab.engine.schedules.story import program_text
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY
from crashlab.gallery.exhibit import WAL_RESET, Exhibit, Need
from crashlab.gallery.mechanisms.b1_wal_reset import ADVICE, LINKS
from crashlab.gallery.stage.driver import ApswDriver
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

SCHEDULES_MAX = 20_000
SECONDS_MAX = 90.0
CLEAN_SCHEDULES = 1500
CLEAN_SECONDS = 20.0
REPLAYS = 20
_SHOWS = ("acked-row-lost", "wal-index", "integrity-check-only", "quick-check")
"""Invariants of which the bug breaks at least one; connections that only insert, read and checkpoint break none."""


def run(stage: Stage) -> None:
    """Explore, then replay, shrink and tell what was found."""
    stage.has_rows = False
    apsw = Path(str(stage.driver.apsw.__file__)).parents[1] if isinstance(stage.driver, ApswDriver) else ""
    strategy = "bpr:0" if stage.control else str(DEFAULT_STRATEGY)
    version = tuple(int(part) for part in stage.driver.version.split("."))
    to_find = stage.exhibit.affected.covers(version) and not stage.control
    budget = Budget(SECONDS_MAX, SCHEDULES_MAX) if to_find else Budget(CLEAN_SECONDS, CLEAN_SCHEDULES)
    maker = stage.opener("A")
    stage.create(maker)
    maker.close()
    how = (
        "control passes only where somebody has finished or waits"
        if stage.control
        else "control may pass before every call of SQLite, four times at points drawn from the seed"
    )
    stage.step(f"schedules of 2 to 4 connections that insert, read and checkpoint begin; {how}")
    greeting = Greeting(GENERIC, "", str(stage.directory / "schedules"), apsw=str(apsw))
    with Explorer(greeting) as explorer:
        explored = explorer.explore(strategy, stage.seed, budget)
        judged = explored.counted.judged
        if not explored.failures:
            stage.observe("search.found", "nothing")
            stage.step(f"{judged} schedules, and nothing was lost in any")
            return
        _tell(stage, explorer, explored.failures[0])


def _tell(stage: Stage, explorer: Explorer, failure: Failure) -> None:
    found = {finding.identity.invariant for finding in failure.findings}
    stage.observe("search.found", "wal-reset" if found & set(_SHOWS) else "+".join(sorted(found)))
    stage.note(f"schedule {failure.number} failed: {failure.findings[0].message}")
    shrunk = explorer.shrink(failure.schedule)
    again = explorer.replay(shrunk.schedule, REPLAYS)
    stage.observe("search.replayed", "always" if again.exact else f"{again.alike} of {again.times}")
    kept = stage.directory / "witness"
    kept.mkdir()
    ran = explorer.tell(shrunk.schedule, kept)
    stage.note(f"made smaller in {shrunk.runs} runs: {program_text(shrunk.schedule.script)}; {again.text}")
    for span in spans_of(ran):
        stage.note(str(span))
    stage.judged = kept / "state.db"
    stage.step("the database as that schedule left it")


EXHIBITS = (
    Exhibit(
        id="b1-found",
        title="the WAL-reset bug found by schedules that know nothing of it",
        fault_class=FaultClass.NONE,
        happens=(
            "Connections of one process insert, read and checkpoint at random, and take turns at SQLite's calls to the "
            "operating system. Within some hundreds or thousands of schedules one stops a checkpoint between its look "
            "at the wal-index and its use of what it saw. That schedule fails again each time, and shrinks to a few "
            "steps."
        ),
        control="control never passes in the middle of a statement",
        run=run,
        picture={"search.found": "wal-reset", "search.replayed": "always"},
        clean={"search.found": "nothing", "open.error": "none", "quick_check": "ok", "integrity_check": "ok"},
        protected={"search.found": "nothing", "open.error": "none", "quick_check": "ok", "integrity_check": "ok"},
        symptom="a row that was acked is missing, once in some hundred thousand runs; both checks say ok",
        advice=(*ADVICE, "explore your own connections: crashlab schedules"),
        affected=WAL_RESET,
        mistaken_for=("a kill", "synchronous=NORMAL", "lock errors that the application swallowed"),
        links=LINKS,
        needs=(Need.FORK, Need.PROC, Need.TAP),
        in_default_run=False,
        seconds_max=150.0,
    ),
)
