"""journal_mode and synchronous are read off a run's writes and syncs; here the program says what they are."""

import sys

import pytest
from external_lab import settings_seen

from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import record_program
from crashlab.engine.workspace import Workspace
from crashlab.model.program import Program

PROGRAM = """
import sqlite3, sys
db = sqlite3.connect("app.db", isolation_level=None)
db.execute(f"PRAGMA journal_mode={sys.argv[1]}")
db.execute(f"PRAGMA synchronous={sys.argv[2]}")
db.execute("CREATE TABLE t(x)")
for number in range(5):
    db.execute("INSERT INTO t VALUES(?)", (number,))
if sys.argv[3] == "close":
    db.close()
"""
SETTINGS = [
    *(("wal", synchronous) for synchronous in ("OFF", "NORMAL", "FULL")),
    *((journal, synchronous) for journal in ("delete", "truncate", "persist") for synchronous in ("OFF", "NORMAL")),
    *((journal, "FULL") for journal in ("delete", "truncate", "persist")),
    ("delete", "EXTRA"),
]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "exit"])
@pytest.mark.parametrize(("journal", "synchronous"), SETTINGS)
def test_what_the_trace_shows_is_what_the_program_set(tmp_path, journal, synchronous, end):
    (tmp_path / "app.py").write_text(PROGRAM)
    with Workspace() as space:
        area = space.make_run()
        program = Program((sys.executable, "app.py", journal, synchronous, end))
        recording = record_program(program, PrivateCopy(tmp_path, area), area, seed=1)
        assert settings_seen(recording.trace(), "app.db") == (journal, synchronous)
