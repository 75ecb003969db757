"""Files replaced under an open run ledger: it stops, and a sibling that comes and goes is no alarm."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from store import RunLedger, StoreIdentity
from store.identity import OpenFiles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows refuses to delete or rename an open database")

SIBLING = """
with RunLedger(path) as ledger:
    ledger.start_run(sys.argv[2], agent="other", protocol="p")
    say(1)
"""


@pytest.mark.parametrize("use", ["heartbeat", "close"])
def test_it_stops_and_the_newer_file_is_left_alone(ledger, path, monkeypatch, use):
    monkeypatch.setattr(OpenFiles, "WRITES_MAX", 1)
    ledger.start_run("run-1", agent="agent", protocol="p")
    newer = path.with_name("newer")
    shutil.copy(path, newer)
    newer.replace(path)
    before = path.read_bytes()
    with pytest.raises(StoreIdentity, match="is another file now"):
        ledger.heartbeat("run-1") if use == "heartbeat" else ledger.close()
    assert not ledger.is_open
    ledger.close()
    assert path.read_bytes() == before
    (copy,) = path.parent.glob("*.retired-*-0")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT run_id FROM protocol_runs").fetchall() == [("run-1",)]


def test_siblings_that_come_and_go_are_no_alarm(ledger, path, child, monkeypatch):
    monkeypatch.setattr(OpenFiles, "WRITES_MAX", 1)
    ledger.start_run("run-1", agent="agent", protocol="p")
    for number in range(3):
        sibling = child(SIBLING, path, f"s{number}")
        assert sibling.heard() == 1
        assert sibling.process.wait(30) == 0
        ledger.heartbeat("run-1")
        assert len(ledger.active_runs()) == number + 2
    ledger.close()
    with RunLedger(path) as again:
        assert again.get_run("run-1") is not None
