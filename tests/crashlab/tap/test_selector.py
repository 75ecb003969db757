"""The text form of selectors, and what they match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crashlab.errors import UsageError
from crashlab.log.trace import Role
from crashlab.sqlite.tap import Counter, Killer, Operation, Selector, Tap
from crashlab.sqlite.tap.operation import SHM_OPERATIONS

GOLDEN = {
    "wal.write": "wal.write#1",
    "wal.write#5": "wal.write#5",
    "main.sync.after#2": "main.sync.after#2",
    "shm.lock#3": "shm.lock#3",
    "any.delete": "any.delete#1",
    "super-journal.open": "super-journal.open#1",
    "main.check-reserved-lock": "main.check-reserved-lock#1",
    "wal.write#5  file=b.db-wal phase=checkpoint ": "wal.write#5 phase=checkpoint file=b.db-wal",
}


@pytest.mark.parametrize(("text", "canonical"), GOLDEN.items())
def test_golden_texts(text, canonical):
    assert str(Selector.parse(text)) == canonical
    assert Selector.parse(canonical) == Selector.parse(text)


@st.composite
def selectors(draw):
    operation = draw(st.sampled_from(Operation))
    roles = [Role.SHM] if operation in SHM_OPERATIONS else [None, *sorted(set(Role) - {Role.SHM, Role.PLAIN})]
    word = st.from_regex(r"[A-Za-z0-9_.-]{0,8}", fullmatch=True)
    return Selector(
        operation,
        draw(st.sampled_from(roles)),
        draw(st.integers(1, 10**9)),
        draw(st.booleans()),
        draw(word),
        draw(word),
    )


@given(selectors())
def test_every_selector_round_trips(selector):
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected role.operation"),
        ("wall.write", "no file role 'wall'; did you mean 'wal'"),
        ("wal.wriet", "no operation 'wriet' on wal; did you mean 'write'"),
        ("wal", "no operation '' on wal; expected"),
        ("shm.write", "no operation 'write' on shm; expected lock, map|no operation 'write' on shm"),
        ("any.shm-lock", "no operation 'shm-lock' on any"),
        ("wal.write#0", "call number '0', expected 1"),
        ("wal.write#x", "call number 'x'"),
        ("wal.write#", "expected role.operation"),
        ("wal.write#99999999999", "call number"),
        ("wal.write.before", "'before' after the operation"),
        ("wal.write colour=red", "'colour=red' is not one"),
        ("wal.write phase=a phase=b", "'phase=b' is not one"),
    ],
)
def test_bad_texts_are_refused_in_one_line(text, says):
    with pytest.raises(UsageError, match=says) as caught:
        Selector.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", [None, Role.WAL])
def test_bad_values_are_refused(role):
    with pytest.raises(UsageError, match="call number 0"):
        Selector(Operation.WRITE, role, 0)
    with pytest.raises(UsageError, match="no operation write on shm"):
        Selector(Operation.WRITE, Role.SHM)


def count(tmp_path, tap_tools, text, phase=None):
    killer = Killer(Selector.parse(text), kill=lambda: None)
    counter = Counter()
    phases = []

    def body():
        first, second = (tap_tools.connect(tmp_path / name) for name in ("a.db", "b.db"))
        for connection in (first, second):
            connection.execute("CREATE TABLE t(v)")
            phases.append("filling")
            connection.execute("INSERT INTO t VALUES(1)")
            phases.pop()
            connection.close()

    with Tap(counter, killer, phase=lambda: phases[-1] if phases else ""):
        body()
    return killer.trip.seen, counter


def test_a_file_tells_databases_apart(tmp_path, tap_tools):
    of_one, counter = count(tmp_path, tap_tools, "wal.write file=b.db-wal")
    assert 0 < of_one == counter.count(Operation.WRITE, Role.WAL) / 2


def test_a_phase_narrows(tmp_path, tap_tools):
    filling, counter = count(tmp_path, tap_tools, "wal.write phase=filling")
    assert filling == 4 < counter.count(Operation.WRITE, Role.WAL)


def test_any_role(tmp_path, tap_tools):
    seen, counter = count(tmp_path, tap_tools, "any.write")
    assert seen == counter.count(Operation.WRITE)
    assert {role for role, op in counter.counts if op is Operation.WRITE} == {Role.MAIN, Role.WAL, Role.JOURNAL}
