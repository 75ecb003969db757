"""Files of a state: incrementally, plainly, and by a third way that only the test knows."""

import random

import pytest
from recordings import commits, record

from crashlab.errors import UsageError
from crashlab.log.trace import TraceKind
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.pending import DATA_KINDS, epochs
from crashlab.states.state import CrashState, parse_state, resolve


def contents(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def truncate_checkpoint(connection, number):
    if number == 3:
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()


WORKLOADS = {
    "wal-normal": commits(6, synchronous="normal", autocheckpoint=6),
    "wal-full": commits(6, autocheckpoint=8, page_size=1024, each=truncate_checkpoint),
    "delete": commits(4, journal="delete"),
    "truncate": commits(3, journal="truncate", page_size=512),
    "persist": commits(3, journal="persist"),
}


@pytest.fixture(scope="module", params=WORKLOADS)
def trace(request, tmp_path_factory):
    return record(tmp_path_factory.mktemp(request.param), WORKLOADS[request.param]).trace


def plain_files(trace, state):
    """The state's files from bytes alone, from the trace's beginning: slow and simple."""
    files, names = {}, {}
    chosen = None
    for epoch in epochs(trace):
        for op in epoch.settled:
            if trace.kinds[op] in DATA_KINDS:
                _do(trace, files, op, None)
        names = dict(epoch.names)
        if epoch.first <= state.op <= epoch.last:
            chosen = resolve(trace, epoch, state)
            break
    for op, mask in chosen.data:
        _do(trace, files, op, mask)
    for op in chosen.entries:
        name = trace.paths[trace.names[op]]
        if trace.kinds[op] == TraceKind.CREATE:
            names[name] = trace.inodes[op]
        elif names.get(name) == trace.inodes[op]:
            del names[name]
    if chosen.torn:
        op, size = chosen.torn
        _put(files, trace.inodes[op], trace.offsets[op], bytes(trace.data(op))[:size])
    return {name: bytes(files.get(inode, b"")) for name, inode in names.items()}


def _put(files, inode, offset, data):
    file = files.setdefault(inode, bytearray())
    if len(file) < offset:
        file.extend(bytes(offset - len(file)))
    file[offset : offset + len(data)] = data


def _do(trace, files, op, mask):
    inode, offset = trace.inodes[op], trace.offsets[op]
    if trace.kinds[op] == TraceKind.TRUNCATE:
        file = files.setdefault(inode, bytearray())
        file[:] = file[:offset].ljust(offset, b"\0")
        return
    data = bytes(trace.data(op))
    if mask is None:
        _put(files, inode, offset, data)
        return
    for start in range(offset - offset % 512, offset + len(data), 512):
        if mask >> (start // 512 - offset // 512) & 1:
            low, high = max(start, offset), min(start + 512, offset + len(data))
            _put(files, inode, low, data[low - offset : high - offset])


def test_three_ways_give_the_same_bytes(trace, tmp_path):
    states = []
    for policy in Policy:
        states += crash_states(trace, Model(policy, states_max=80, direct_max=80), random.Random(3))
    random.Random(4).shuffle(states)
    # In order, as an exploration has them; then some in any order.
    states = sorted(states[:100], key=lambda state: state.op) + states[100:120]
    with Materialiser(trace, tmp_path / "m") as materialiser:
        for number, state in enumerate(states):
            shown = contents(materialiser.show(state))
            plain = tmp_path / f"plain{number}"
            plain.mkdir()
            materialiser.export(state, plain)
            assert shown == contents(plain), str(state)
            if number % 8 == 0:
                assert shown == plain_files(trace, state), str(state)
    assert not (tmp_path / "m").exists()


def test_what_others_did_to_the_files_is_gone_after_a_clear(trace, tmp_path):
    states = list(crash_states(trace, Model(Policy.SUBSET, states_max=60), random.Random(3)))
    with Materialiser(trace, tmp_path / "m") as materialiser:
        for state in states[::3]:
            before = contents(materialiser.show(state))
            for path in before:
                (materialiser.work / path).write_bytes(b"changed")
            (materialiser.work / "stray").write_bytes(b"x")
            materialiser.clear()
            assert contents(materialiser.show(state)) == before


@pytest.mark.parametrize(
    "text", ["power-loss@op=5 keep=0xffffffffffffffffffff", "kill@op=0+5", "power-loss@op=3 keep=0x0 torn=77:0x1"]
)
def test_a_state_of_another_trace_is_refused(trace, tmp_path, text):
    with Materialiser(trace, tmp_path / "m") as materialiser, pytest.raises(UsageError, match="crash state"):
        materialiser.show(parse_state(text))


def test_the_last_prefix_is_what_the_run_left(tmp_path):
    recording = record(tmp_path / "r", commits(3, close=False))
    with Materialiser(recording.trace, tmp_path / "m") as materialiser:
        shown = contents(materialiser.show(CrashState("kill", len(recording.trace))))
    assert shown == {name: data for name, data in contents(recording.run).items() if not name.endswith("-shm")}
