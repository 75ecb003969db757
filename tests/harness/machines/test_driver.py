"""The driver's verdicts, one by one: what each kind of crash may leave, and what it may not."""

import pytest

from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.states.state import parse_state
from harness.machines import broken
from harness.machines.books import Books
from harness.machines.driver import Driver
from harness.machines.judgement import DisagreementError
from harness.machines.messages import Messages
from harness.machines.replay import replay, snippet
from harness.machines.runs import Runs

APPEND = {"session_id": 1, "role": "user", "content": "apple banana"}


@pytest.fixture
def space():
    with Workspace() as made:
        yield made


@pytest.fixture
def made(space):
    drivers = []

    def make(system, **options):
        drivers.append(Driver(system, space, **options))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.close()


def lost_everything(driver, number):
    """A power loss after the operation of that number, with none of the pending writes."""
    moment = driver.leg.moments(driver.done[number].begin, driver.done[number].end)[-1]
    return f"power-loss@op={moment} keep=0x0"


@pytest.mark.parametrize(("synchronous", "left"), [("FULL", 2), ("NORMAL", 0)])
def test_what_a_power_loss_takes(made, synchronous, left):
    driver = made(Messages(every=0), synchronous=synchronous)
    driver.do("create_session", {})
    driver.checkpoint("TRUNCATE")
    driver.do("append", APPEND)
    driver.do("append", APPEND)
    driver.end_leg()
    state = lost_everything(driver, 4)
    assert len(set(driver.allowed(parse_state(state)))) == (1 if synchronous == "FULL" else 3)
    driver.crash(state)
    assert driver.model.view()["count_messages"] == left
    assert len(driver.model.view()["sessions"]) == 1, "what a complete checkpoint covers stays"


def test_a_kill_takes_nothing_that_was_acked_and_half_of_nothing(made):
    driver = made(Messages(), synchronous="NORMAL")
    driver.do("create_session", {})
    driver.do("append_many", {"session_id": 1, "messages": [["user", "apple"], ["user", "cherry"]]})
    driver.end_leg()
    done = driver.done[2]
    moments = driver.leg.moments(done.begin, done.end)
    counts = []
    for moment in moments:
        allowed = driver.allowed(parse_state(f"kill@op={moment}"))
        counts.append(sorted({driver.model.thaw(frozen).view()["count_messages"] for frozen in allowed}))
    assert counts[0] == [0, 2]
    assert counts[-1] == [2]


def test_an_io_error_leaves_before_or_after(made):
    driver = made(Messages())
    driver.do("create_session", {})
    assert driver.io_error("append", APPEND, "wal.sync#1", "fsync", persistent=False)
    driver.reopen()
    assert driver.model.view()["count_messages"] in (0, 1)
    assert (driver.faults_fired, driver.faults_missed) == (1, 0)
    assert not driver.io_error("append", APPEND, "wal.write#99", "EIO", persistent=False)
    assert (driver.faults_fired, driver.faults_missed) == (1, 1)


def test_a_failing_close_loses_nothing(made):
    driver = made(Messages())
    driver.do("create_session", {})
    driver.do("append", APPEND)
    driver.failing_close("main.write#1", "EIO", persistent=True)
    assert driver.faults_fired == 1
    assert driver.model.view()["count_messages"] == 1


def test_a_restored_backup_is_the_model_of_its_time(made):
    driver = made(Books())
    driver.do("start_session", {})
    driver.do("set_engine_state", {"key": "mode", "value": "calm"})
    driver.backup()
    driver.do("set_engine_state", {"key": "mode", "value": "storm"})
    driver.restore()
    assert driver.model.view()["engine_states"]["mode"] == "calm"


def test_each_transaction_of_a_shutdown_may_be_the_last(made):
    driver = made(Books())
    driver.do("start_session", {})
    arguments = {"session_id": 1, "reason": "kill_switch", "detail": "", "engine_is_off_by": 0}
    driver.do("shutdown", arguments)
    (done,) = [done for done in driver.done if done.name == "shutdown"]
    assert len(set(done.after)) >= 3


def test_siblings_keep_their_runs_when_one_restarts(made):
    driver = made(Runs())
    driver.do("start_run", {"who": "a", "run_id": "r1", "agent": "ann", "protocol": "p"})
    driver.restart(who="b", twice=True)
    assert driver.model.view()["a.owned"] == ["r1"]


def test_the_steps_are_the_replay(space):
    driver = Driver(Messages(broken.BatchRowByRow, every=5), space)
    driver.do("create_session", {})
    driver.do("append_many", {"session_id": 1, "messages": [["user", "apple"], ["user", "cherry"]]})
    driver.end_leg()
    done = driver.done[2]
    middle = driver.leg.moments(done.begin, done.end)
    with pytest.raises(DisagreementError, match="none of the"):
        driver.crash(f"kill@op={middle[len(middle) // 2]}")
    text = snippet(driver)
    driver.close()
    with pytest.raises(DisagreementError, match="none of the"):
        exec(text[text.index("from harness") :], {})


def test_bad_steps_are_refused(made):
    with pytest.raises(UsageError, match="did you mean 'books'"):
        replay("book", "")
    with pytest.raises(UsageError, match="step 'explode'"):
        replay("books", "explode")
    driver = made(Books())
    with pytest.raises(UsageError, match="SLOW"):
        driver.checkpoint("SLOW")
    with pytest.raises(UsageError, match="no I/O error"):
        driver.io_error("shutdown", {}, "wal.write#1", "EIO", persistent=False)


def test_the_same_steps_are_recorded_the_same_also_after_an_io_error(space):
    """An error's traceback must not decide when a connection is closed."""
    recorded = []
    for _ in range(2):
        driver = Driver(Books(), space)
        driver.do("start_session", {})
        metric = {"name": "lag", "value": 1}
        assert driver.io_error("record_system_metric", metric, "wal.write#1", "ENOSPC", persistent=True)
        trace = driver.end_leg()
        recorded.append([trace.describe(op) for op in range(len(trace))])
        driver.close()
    assert recorded[0] == recorded[1]
