import sqlite3
import threading

import pytest

from crashlab.log.history import build_history
from crashlab.log.reader import read_log
from crashlab.log.writer import LogWriter
from crashlab.model.history import Ended, EndKind
from crashlab.writers.context import RunContext
from crashlab.writers.order import Order


@pytest.fixture
def order(tmp_path):
    return Order(str(tmp_path), str(tmp_path / "state.db"), "a:b", 7, {"steps": 3}, tick_s=0.25)


def test_all_that_varies_comes_from_the_order(order, tmp_path):
    context = RunContext(order, 0, sqlite3.connect)
    assert (context.directory, context.database) == (tmp_path, tmp_path / "state.db")
    assert (context.process, context.seed, context.params) == (0, 7, {"steps": 3})
    draws = [RunContext(order, process, sqlite3.connect).rng.random() for process in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    start = context.clock()
    context.stepped.tick()
    assert context.clock() - start == 0.25
    assert context.wait(threading.Event(), 0) is False


def test_notes_go_to_the_log_and_at_a_restart_nowhere(order, tmp_path):
    log = LogWriter(str(tmp_path / "log.0"))
    RunContext(order, 0, sqlite3.connect, log).note("hello")
    RunContext(order, 0, sqlite3.connect).note("unheard")
    history = build_history("t", list(read_log(log.base)), Ended(EndKind.EXITED, 0))
    assert [note.text for note in history.notes] == ["hello"]


def test_processes_signal_each_other(order):
    one, other = (RunContext(order, process, sqlite3.connect) for process in (0, 1))
    with pytest.raises(TimeoutError, match=r"no process signalled 'ready' within 0\.01 s"):
        other.await_signal("ready", 0.01)
    thread = threading.Timer(0.02, one.signal, ("ready",))
    thread.start()
    other.await_signal("ready", 10)
    one.await_signal("ready", 0)
    thread.join()
