"""A case of the trace road told in text: every operation in order with what the program said, up to the crash.

`timeline.txt` has one line an operation and one for each mark of the program's (begin, ack, refused, phases),
with the crash where it happened. `persisted.txt` lists what of it is on the disk in this state.
"""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from crashlab.engine.carried import carried_trace, seal_recording
from crashlab.engine.casedir import load_case, write_atomically
from crashlab.engine.moments import Moments
from crashlab.engine.reduce import parsed_state
from crashlab.log.format import Kind
from crashlab.log.reader import log_bases, read_marks
from crashlab.log.record import Record
from crashlab.log.trace import TraceKind
from crashlab.model.step import Effect
from crashlab.oracles.evidence import show
from crashlab.states.pending import DATA_KINDS
from crashlab.states.state import KILL, CrashState
from crashlab.states.trace import NOTHING, Trace

TIMELINE = "timeline.txt"
PERSISTED = "persisted.txt"
LINES_MAX = 20_000
AFTER_MAX = 20
EFFECTS_MAX = 6

_EFFECTS = msgspec.msgpack.Decoder(tuple[str, int, tuple[Effect, ...] | None])
_ERROR = msgspec.msgpack.Decoder(tuple[str, int, str])
_PAIR = msgspec.msgpack.Decoder(tuple[str, str])


def annotate_case(directory: Path) -> None:
    """Write both files into a case directory of the trace road, and cut its trace to what is used.

    Does nothing to a case of another road, or one that carries no recording.

    Raises:
        RecordError: the case or its recording is damaged.
        UsageError: the state does not fit the recording.
    """
    case = load_case(directory)
    state = parsed_state(case)
    recording, trace = carried_trace(directory)
    if state is None or trace is None:
        return
    moments = Moments(trace)
    fates = _fates(moments, state)
    records = read_marks(log_bases(recording))
    write_atomically(directory / TIMELINE, _text(_timeline(trace, state, fates, records)))
    write_atomically(directory / PERSISTED, _text(_persisted(trace, state, fates)))
    seal_recording(recording)


def _text(lines: Iterator[str]) -> bytes:
    found = list(islice(lines, LINES_MAX))
    if len(found) == LINES_MAX:
        found.append(f"… and more; only {LINES_MAX} lines are kept")
    return ("\n".join(map(_plain, found)) + "\n").encode()


def _plain(line: str) -> str:
    """Control characters shown, not obeyed: names and rows are the program's."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _fates(moments: Moments, state: CrashState) -> dict[int, str]:
    """What became of every operation that changes a disk, up to the crash."""
    trace = moments.trace
    if state.kind == KILL:
        fates = dict.fromkeys(range(state.op), "there")
        if state.torn_bytes:
            fates[state.op] = f"first {state.torn_bytes} bytes there"
        return fates
    loss = moments.loss(state)
    lost, torn = set(loss.lost), dict(loss.torn)
    settled = moments.settled_before(state.op)
    fates = {}
    for op in range(state.op):
        if op in settled:
            fates[op] = "durable"
        elif op in lost:
            fates[op] = "LOST"
        elif op in torn:
            fates[op] = f"TORN: {torn[op].bit_count()} of {moments.sectors(op)} sectors there, mask {torn[op]:#x}"
        elif trace.kinds[op] in DATA_KINDS or moments.is_entry(op):
            fates[op] = "kept by chance"
    for op in set(fates) - settled - set(moments.pending(state.op)):
        fates[op] = "of a file that has no name any more"
    return fates


def _timeline(trace: Trace, state: CrashState, fates: dict[int, str], records: list[Record]) -> Iterator[str]:
    yield f"crash state: {state}"
    yield f"{len(trace)} operations were recorded; the crash comes when {state.op} are done"
    yield ""
    start = records[0].ns if records else 0
    told = 0
    for op in range(len(trace) + 1):
        before = trace.happened_before(op)
        while told < len(records) and before(records[told]):
            mark = _mark(records[told])
            if mark:
                yield f"{(records[told].ns - start) / 1e6:12.3f} ms  {mark}"
            told += 1
        if op == state.op:
            yield f"======== CRASH ({state.kind}) ========"
        if op == len(trace) or op >= state.op + AFTER_MAX:
            break
        if trace.kinds[op] == NOTHING:
            continue
        fate = fates.get(op, "" if op < state.op else "never happened")
        yield f"{(trace.ns[op] - start) / 1e6:12.3f} ms      {trace.describe(op):<48}  {fate}".rstrip()
    if state.op + AFTER_MAX < len(trace):
        yield f"… and {len(trace) - state.op - AFTER_MAX} more operations that never happened"


def _persisted(trace: Trace, state: CrashState, fates: dict[int, str]) -> Iterator[str]:
    yield f"what is on the disk in {state}"
    yield "operation, then the first digits of the BLAKE2b of its bytes, and why it is there"
    yield ""
    missing = 0
    for op, fate in sorted(fates.items()):
        kind = trace.kinds[op]
        if kind in (NOTHING, TraceKind.SYNC, TraceKind.DIRSYNC):
            continue
        if fate == "LOST":
            missing += 1
            continue
        digest = hashlib.blake2b(trace.data(op), digest_size=6).hexdigest() if kind == TraceKind.WRITE else "-"
        yield f"{trace.describe(op):<48}  {digest:<12}  {fate}"
    if missing:
        yield ""
        yield f"lost: {missing} operations"
        for op, fate in sorted(fates.items()):
            if fate == "LOST":
                yield f"{trace.describe(op)}"


def _mark(record: Record) -> str:
    """A record of the program's in words; '' for what is no mark of its."""
    match record.kind:
        case Kind.BEGIN | Kind.ACK:
            lane, seq, effects = _EFFECTS.decode(record.payload)
            word = "BEGIN" if record.kind == Kind.BEGIN else "ACK  "
            shown = "; ".join(f"{e.table} {show(e.key)} → {show(e.value)}" for e in (effects or ())[:EFFECTS_MAX])
            more = f"; … {len(effects)} effects" if effects and len(effects) > EFFECTS_MAX else ""
            return f"{word} {lane}#{seq}  {shown}{more}".rstrip()
        case Kind.REFUSED:
            lane, seq, error = _ERROR.decode(record.payload)
            return f"REFUSED {lane}#{seq}  {error}"
        case Kind.ENTER | Kind.LEAVE:
            name, detail = _PAIR.decode(record.payload)
            return f"{'enter' if record.kind == Kind.ENTER else 'leave'} {name} {detail}".rstrip()
    return ""
