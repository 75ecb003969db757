"""The big acquittal: its checks see planted damage, and (nightly) a whole trial of both sides."""

import sys

import pytest

from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.mechanisms._big_database import _FTS, write
from crashlab.gallery.mechanisms.i_truncate import check, read_on
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.driver import Driver
from crashlab.gallery.stage.stage import SCHEMA
from crashlab.gallery.telling import Result
from crashlab.sqlite.library import find_library

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not find_library().has("ENABLE_FTS5"), reason="needs FTS5 and fork"
)


@pytest.fixture
def actor(tmp_path):
    actor = Self(Driver())
    actor.do_open(str(tmp_path / "x.db"), "main", ["journal_mode=WAL"], 0.0, uri=False)
    for statement in (*SCHEMA, *_FTS):
        actor.execute(statement)
    for number in range(20):
        write(actor, f"row{number}", "value", f"abc{number} text of a message")
    (tmp_path / "stop").touch()
    yield actor
    actor.do_close("main")


def test_a_sound_database_passes(actor, tmp_path):
    found = check(actor, 0)
    assert found["wrong"] == "ok"
    assert len(found["rows"]) == 20
    assert read_on(actor, str(tmp_path / "stop"), 0) == "consistent"


@pytest.mark.parametrize(
    ("damage", "wrong", "reader"),
    [
        ("DELETE FROM messages WHERE id = 20", "messages", "torn"),
        ("UPDATE messages SET body = 'other' WHERE id = 3", "index", "consistent"),
        ("DELETE FROM messages_fts_data WHERE id > 10", "index", "SQLITE_CORRUPT_VTAB"),
        ("DROP TABLE t", "file", "SQLITE_ERROR"),
    ],
)
def test_planted_damage_is_seen(actor, tmp_path, damage, wrong, reader):
    actor.execute(damage)
    assert check(actor, 0)["wrong"] == wrong
    assert read_on(actor, str(tmp_path / "stop"), 0) == reader


@pytest.mark.nightly
@pytest.mark.timeout(700)
def test_a_trial_and_its_positive_control(tmp_path, monkeypatch):
    monkeypatch.setenv("CRASHLAB_CACHE", str(tmp_path / "cache"))
    exhibit = load_exhibits()["i-truncate"]
    with Host() as host:
        run, control = (host.play(exhibit, 1, control=control) for control in (False, True))
    if run.result is Result.SKIPPED:
        pytest.skip(run.why)
    assert run.result is Result.AS_EXPECTED, (run.why, run.differs)
    assert control.result is Result.AS_EXPECTED, (control.why, control.differs)
    assert control.showed
    assert sorted(path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()) == []
