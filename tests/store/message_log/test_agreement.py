"""The check of the indexes finds each way in which one can be wrong, and names the message."""

import pytest

from store import Disagreement, MessageLog
from store.message_log.agreement import integrity_complaint
from store.message_log.schema import MIGRATIONS, PLAIN, TRIGRAM, triggers

TABLES = (PLAIN.table, TRIGRAM.table)


def without_trigger(table, event):
    """A message log that forgets to tell one index of one kind of event."""
    gone = triggers(table)[event]
    assert any(gone in migration.statements for migration in MIGRATIONS)
    migrations = tuple(
        migration._replace(statements=tuple(s for s in migration.statements if s != gone)) for migration in MIGRATIONS
    )
    return type("Forgetful", (MessageLog,), {"migrations": migrations})


def use(log):
    session = log.create_session()
    log.append_many(session, [("user", f"message number {i}") for i in range(5)])
    log.edit_message(2, "another text")
    log.delete_message(4)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("update", {2: "its entries are not those of its text"}),
        ("delete", {4: "in the index but not in the table"}),
    ],
)
def test_a_missing_trigger_is_found_row_by_row(make, table, event, expected):
    log = make(cls=without_trigger(table, event))
    use(log)
    assert log.fts_disagreements() == [Disagreement(table, row, problem) for row, problem in expected.items()]
    assert log.fts_disagreements(thorough=False) == log.fts_disagreements()
    assert log._read("PRAGMA integrity_check(1)") == [("ok",)] or log._read("SELECT sqlite_version() >= '3.44'")[0][0]


def test_a_missing_insert_trigger_is_found_too(make):
    log = make(cls=without_trigger(PLAIN.table, "insert"))
    log.append(log.create_session(), "user", "hello")
    assert log.fts_disagreements() == [Disagreement(PLAIN.table, 1, "not in the index")]


def test_an_index_that_agrees_is_left_in_peace_and_as_it_was(log, path, query):
    use(log)
    for thorough in (True, False):
        assert log.fts_disagreements(thorough=thorough) == []
    assert log._read("SELECT count(*) FROM sqlite_temp_master") == [(0,)]
    assert log.append(1, "user", "goes on") == 6
    assert query(path, "SELECT count(*) FROM messages_fts_docsize") == [(5,)]


def test_integrity_check_alone_sees_what_has_no_row(log):
    use(log)
    log._connection.execute("DELETE FROM messages_fts_docsize WHERE id = 1")
    assert integrity_complaint(log._connection, PLAIN.table)
    assert Disagreement(PLAIN.table, 1, "not in the index") in log.fts_disagreements()
    log._connection.execute("DELETE FROM messages_trigram_data WHERE id > 10")
    assert [(d.table, d.message_id) for d in log.fts_disagreements()][-1] == (TRIGRAM.table, None)
