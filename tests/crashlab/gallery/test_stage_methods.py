"""Methods of one connection's file replaced, an actor ended by a hang-up, and needs of other drivers."""

import signal
import sqlite3
import sys

import pytest

from crashlab.gallery.exhibit import Exhibit, Need
from crashlab.gallery.host_child import Order, _play
from crashlab.gallery.mechanisms._file_methods import connect, replace
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.driver import Driver, Problem
from crashlab.gallery.stage.ending import file_features
from crashlab.gallery.stage.stage import Stage
from crashlab.gallery.telling import Result
from crashlab.model.contract import FaultClass
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.tap import tap_problem
from crashlab.sqlite.tap.operation import Operation

needs_tap = pytest.mark.skipif(tap_problem() is not None, reason=f"{tap_problem()}")


def exhibit(run=lambda _stage: None, needs=()):
    return Exhibit("x", "t", FaultClass.NONE, "h", "c", run, {}, "s", ("a",), needs=needs)


@pytest.fixture
def actor():
    actor = Self(Driver())
    yield actor
    for name in list(actor.connections):
        actor.do_close(name)


@needs_tap
def test_a_method_is_replaced_for_one_connection_alone(actor, tmp_path):
    path, calls = str(tmp_path / "x.db"), []

    def make(real):
        return lambda *arguments: calls.append(arguments) or real(*arguments)

    replace(connect(actor, path, "watched"), Operation.SHM_LOCK, make)
    actor.do_open(path, "other", ["journal_mode=WAL"], 0.0, uri=False)
    actor.execute("CREATE TABLE t(v)", on="other")
    assert not calls
    actor.execute("INSERT INTO t VALUES(1)", on="watched")
    assert calls
    assert actor.execute("SELECT v FROM t", on="other") == [(1,)]


@needs_tap
def test_a_replacement_that_raises_is_an_io_error(actor, tmp_path):
    def make(_real):
        def broken(*_arguments):
            raise ValueError

        return broken

    replace(connect(actor, str(tmp_path / "x.db"), "a"), Operation.READ, make)
    with pytest.raises(Problem, match="SQLITE_IOERR"):
        actor.execute("SELECT * FROM sqlite_master", on="a")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_an_actor_can_be_ended_by_a_hang_up(tmp_path):
    stage = Stage(exhibit(), Driver(), tmp_path, seed=1, control=False)
    try:
        actor = stage.opener("W")
        actor.kill(signal.SIGHUP)
        assert actor.ended == "SIGHUP"
        assert not actor.alive
    finally:
        stage.stop()


@pytest.mark.parametrize(("mode", "says"), [("WAL", "wal"), ("DELETE", "rollback")])
def test_the_mode_in_the_header(tmp_path, mode, says):
    main = Triplet.of(tmp_path / "x.db")
    connection = sqlite3.connect(main.main)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE t(v)")
    connection.close()
    assert file_features(main)["main.mode"] == says
    main.main.write_bytes(b"")
    assert file_features(main)["main.mode"] == "none"


def test_the_tap_is_needed_of_the_standard_library_alone(tmp_path, monkeypatch):
    class Other(Driver):
        pass

    def stop(_stage):
        raise RuntimeError("played")

    monkeypatch.setattr("crashlab.sqlite.tap.tap_problem", lambda: "static")
    order = Order("x", 1, control=False, directory=str(tmp_path))
    tapped, own = exhibit(stop, (Need.TAP,)), exhibit(stop, (Need.TAP, Need.STDLIB))
    assert _play(tapped, Driver(), order).result is Result.SKIPPED
    assert "played" in _play(tapped, Other(), order).why
    skipped = _play(own, Other(), order)
    assert skipped.result is Result.SKIPPED
    assert str(Need.STDLIB) in skipped.why
