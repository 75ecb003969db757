"""`explore(schedules=True)`: what only an order of functions shows is found, told, kept and run again."""

import sqlite3
import sys
from contextlib import closing

import pytest

import crashlab
from crashlab import SubjectError, UsageError
from crashlab.api.explore_lanes import name_of_lanes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="schedules need the tap")


def account(db):
    with closing(sqlite3.connect(db)) as con:
        con.execute("PRAGMA journal_mode=WAL")
        con.execute("CREATE TABLE account(cents INTEGER)")
        con.execute("INSERT INTO account VALUES(0)")
        con.commit()


def book(db, ack, cents, locked=False):
    with closing(sqlite3.connect(db, isolation_level=None)) as con:
        if locked:
            con.execute("BEGIN IMMEDIATE")
        (before,) = con.execute("SELECT cents FROM account").fetchone()
        con.execute("UPDATE account SET cents = ?", (before + cents,))
        if locked:
            con.execute("COMMIT")
    ack(cents)


def migrate(db):
    with closing(sqlite3.connect(db, isolation_level=None)) as con:
        if "note" not in [row[1] for row in con.execute("PRAGMA table_info(account)").fetchall()]:
            con.execute("ALTER TABLE account ADD COLUMN note")


def nothing_is_lost(db, acked):
    (cents,) = db.execute("SELECT cents FROM account").fetchone()
    assert cents == sum(acked), f"the account has {cents} cents, {sum(acked)} were booked"


def explored(functions, tmp_path, **options):
    options = {"setup": account, "budget": 60, "results": tmp_path / "kept", "schedules": True, **options}
    return crashlab.explore(functions, **options)


def test_a_lost_update_is_found_kept_and_run_again_with_the_functions_of_today(tmp_path):
    given = {"arguments": {"cents": 5}, "checks": nothing_is_lost}
    found = explored([book, book], tmp_path, **given)
    (finding,) = found.findings
    assert finding.invariant == "check/nothing_is_lost"
    assert finding.message == "the account has 5 cents, 10 were booked"
    assert finding.replayed == "reproduced 20/20, call for call 20/20"
    assert {"replay", "reduce"} <= finding.commands.keys()
    assert (finding.case / "evidence" / "state.db").exists()
    assert "stopped before" in str(finding)
    assert "schedules" in found.summary
    again = explored([book, book], tmp_path, **given, replay=finding.case)
    assert [each.invariant for each in again.findings] == ["check/nothing_is_lost"]
    mended = {**given, "arguments": {"cents": 5, "locked": True}}
    assert not explored([book, book], tmp_path, **mended, replay=finding.case).findings


@pytest.mark.slow
def test_the_same_functions_under_a_lock_pass(tmp_path):
    result = explored({"a": book, "b": book}, tmp_path, arguments={"cents": 5, "locked": True}, checks=nothing_is_lost)
    result.assert_passed()
    assert result.states == 60
    assert result.interval.startswith("0/60")


@pytest.mark.slow
def test_what_raises_only_beside_another_is_a_finding(tmp_path):
    (finding,) = explored([migrate, migrate], tmp_path, results=None).findings
    assert finding.invariant == "lane/raises"
    assert "duplicate column name" in finding.message
    assert finding.case is None


@pytest.mark.slow
def test_what_fails_one_after_another_is_an_error_of_the_test(tmp_path):
    def never(db):
        return "it is never right"

    with pytest.raises(SubjectError, match="check/never fails when the functions run one after another"):
        explored([migrate, migrate], tmp_path, checks=never)


async def asleep(db):
    pass


def holder_of_a_connection():
    connection = sqlite3.connect(":memory:")
    return lambda db: connection.execute("SELECT 1")


@pytest.mark.parametrize(
    ("functions", "options", "said"),
    [
        ([migrate], {}, "1 functions, expected 2 to 8"),
        (migrate, {}, "expected several functions"),
        ([migrate, "python app.py"], {}, "is no function"),
        ([migrate, asleep], {}, "it is async"),
        ([migrate, migrate], {"arguments": {"cents": 5}}, "no function has a parameter 'cents'"),
        ([migrate, migrate], {"faults": "kill"}, "injects no fault"),
        ([migrate, migrate], {"ack_on": "x"}, "ack_on=: not with schedules"),
        ([migrate, migrate], {"budget": 0}, "expected a number of schedules"),
        ([migrate, migrate], {"schedules": False}, "only with schedules=True"),
        ([migrate, holder_of_a_connection()], {}, "cannot be sent"),
    ],
)
def test_bad_input_is_told(tmp_path, functions, options, said):
    with pytest.raises(UsageError) as caught:
        explored(functions, tmp_path, **options)
    assert said in str(caught.value)


def test_lanes_have_names_of_their_own():
    assert name_of_lanes([migrate, migrate, lambda db: None]) == "migrate-migrate-2-lambda"
    assert name_of_lanes({"one way": migrate, "other": migrate}) == "one-way-other"
