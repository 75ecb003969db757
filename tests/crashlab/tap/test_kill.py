"""A real SIGKILL at exactly the k-th write, whole and torn, leaves what the records say."""

import pytest

from crashlab.errors import UsageError
from crashlab.log.format import Kind
from crashlab.log.reader import read_log
from crashlab.log.trace import Role, TraceKind
from crashlab.sqlite.tap import Counter, Killer, Operation, Seed, Selector, Tap

ROLES = {"wal": ("wal", Role.WAL), "main": ("wal", Role.MAIN), "journal": ("delete", Role.JOURNAL)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("torn", [None, 1, 100, 700])
def test_killed_at_the_kth_write(run, tap_tools, role, torn):
    mode, kind = ROLES[role]
    body = tap_tools.work(mode, commits=30)
    whole = run("whole", body, Seed(9))
    places = [i for i, op in enumerate(whole.ops) if op.kind is TraceKind.WRITE and op.role is kind]
    ks = range(1, len(places) + 1, max(1, len(places) // 10))
    assert len(ks) >= 6
    for k in ks:
        selector = Selector(Operation.WRITE, kind, k)
        killed = run(f"k{k}", body, Seed(9), lambda log, s=selector: Killer(s, torn_bytes=torn, on_fire=log.fired))
        assert killed.killed, f"{selector} was missed"
        # The killed process's own log, and the prefix of the other run's, both give the disk byte for byte.
        assert tap_tools.replay(killed.ops) == killed.disk
        prefix = whole.ops[: places[k - 1]]
        if torn is not None:
            kept = whole.ops[places[k - 1]]
            prefix = [
                *prefix,
                type(kept)(**{f: getattr(kept, f) for f in kept.__struct_fields__} | {"data": kept.data[:torn]}),
            ]
        assert tap_tools.replay(prefix) == killed.disk
        fired = [record for record in read_log(str(killed.base)) if record.kind == Kind.FIRED]
        assert len(fired) == 1
        assert str(selector).encode() in fired[0].payload


@pytest.mark.parametrize(
    "text", ["wal.sync#4", "any.delete#1", "wal.open#1", "wal.write.after#7", "shm.lock#9", "main.truncate#1"]
)
def test_killed_at_other_calls(run, tap_tools, text):
    def body(directory):
        connection = tap_tools.work("wal")(directory)
        connection.execute("DELETE FROM t")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    killed = run("killed", body, Seed(9), Killer(Selector.parse(text)))
    assert killed.killed
    assert tap_tools.replay(killed.ops) == killed.disk
    last = killed.ops[-1]
    if text == "wal.write.after#7":
        assert sum(op.kind is TraceKind.WRITE and op.role is Role.WAL for op in killed.ops) == 7
        assert last.kind is TraceKind.WRITE
        assert last.succeeded


def test_a_kill_whose_call_never_comes_is_missed(run, tap_tools):
    missed = run("missed", tap_tools.work("wal"), Killer(Selector.parse("super-journal.write#1")))
    assert missed.clean
    assert not missed.killed


def test_the_trip_says_what_was_seen(tmp_path, tap_tools):
    deaths = []
    killer = Killer(Selector.parse("wal.write#3"), kill=lambda: deaths.append(True))
    counter = Counter([Operation.WRITE])
    with Tap(killer, counter):
        tap_tools.work("wal")(tmp_path).close()
    assert deaths == [True]
    assert killer.trip.fired == 1
    assert killer.trip.seen == counter.count(Operation.WRITE, Role.WAL) > 3


def test_listeners_compose_a_torn_write_passes_those_further_in(run, tap_tools):
    # The counter further in sees the shortened write; the recorder, innermost, records it so.
    killed = run(
        "killed", tap_tools.work("wal"), Counter(), Killer(Selector.parse("wal.write#5"), torn_bytes=10), Counter()
    )
    assert killed.killed
    assert killed.ops[-1].kind is TraceKind.WRITE
    assert len(killed.ops[-1].data) == 10
    assert tap_tools.replay(killed.ops) == killed.disk


@pytest.mark.parametrize(("text", "torn"), [("wal.sync", 3), ("wal.write.after", 3), ("wal.write", -1)])
def test_what_cannot_be_torn_is_refused(text, torn):
    with pytest.raises(UsageError, match="torn"):
        Killer(Selector.parse(text), torn_bytes=torn)
