"""From log records to a trial's history."""

from typing import Any

import msgspec

from crashlab.errors import RecordError
from crashlab.log.format import Kind
from crashlab.log.record import Record
from crashlab.model.history import Ended, History, NoteRecord, PhaseRecord, StepRecord, StepState
from crashlab.model.step import Effect

_begin = msgspec.msgpack.Decoder(tuple[str, int, tuple[Effect, ...]])
_ack = msgspec.msgpack.Decoder(tuple[str, int, tuple[Effect, ...] | None])
_refused = msgspec.msgpack.Decoder(tuple[str, int, str])
_pair = msgspec.msgpack.Decoder(tuple[str, str])
_text = msgspec.msgpack.Decoder(str)


def build_history(case_id: str, records: list[Record], ended: Ended) -> History:
    """Build the history from merged records.

    Raises:
        RecordError: an ack without a begin, a step that began twice (the second would hide the first's ack),
            or a payload of the wrong form.
    """
    steps: dict[tuple[int, str, int], StepRecord] = {}
    phases: list[PhaseRecord] = []
    open_at: dict[tuple[int, int, str], list[int]] = {}
    notes: list[NoteRecord] = []
    settings: dict[str, str] = {}
    last_ns = 0
    try:
        for record in records:
            last_ns = record.ns if record.process == 0 else last_ns
            match record.kind:
                case Kind.BEGIN:
                    lane, seq, effects = _begin.decode(record.payload)
                    if (record.process, lane, seq) in steps:
                        raise RecordError(
                            f"log: step {seq} of lane {lane!r} began twice; give each step of a lane a seq of its own"
                        )
                    steps[(record.process, lane, seq)] = StepRecord(
                        lane, record.process, seq, StepState.OPEN, effects, record.ns, record.seq
                    )
                case Kind.ACK:
                    lane, seq, happened = _ack.decode(record.payload)
                    _end(steps, record, lane, seq, StepState.ACKED, happened, "")
                case Kind.REFUSED:
                    lane, seq, error = _refused.decode(record.payload)
                    _end(steps, record, lane, seq, StepState.REFUSED, None, error)
                case Kind.ENTER:
                    name, detail = _pair.decode(record.payload)
                    open_at.setdefault((record.process, record.thread, name), []).append(len(phases))
                    phases.append(PhaseRecord(name, record.process, record.thread, record.ns, record.seq, 0, detail))
                case Kind.LEAVE:
                    name, detail = _pair.decode(record.payload)
                    entered = open_at.get((record.process, record.thread, name))
                    if entered:
                        index = entered.pop()
                        phase = phases[index]
                        phases[index] = msgspec.structs.replace(
                            phase, leave_ns=record.ns, detail=detail or phase.detail
                        )
                case Kind.NOTE:
                    notes.append(NoteRecord(record.ns, record.process, _text.decode(record.payload)))
                case Kind.FIRED:
                    notes.append(NoteRecord(record.ns, record.process, f"fired: {_text.decode(record.payload)}"))
                case Kind.SETTING:
                    name, value = _pair.decode(record.payload)
                    settings[name] = value
    except msgspec.MsgspecError as error:
        raise RecordError(f"log of case {case_id}: a record of the wrong form ({error})") from None
    return History(case_id, tuple(steps.values()), tuple(phases), tuple(notes), ended, last_ns, settings)


def _end(
    steps: dict[tuple[int, str, int], StepRecord],
    record: Record,
    lane: str,
    seq: int,
    state: StepState,
    happened: tuple[Effect, ...] | None,
    error: str,
) -> None:
    key = (record.process, lane, seq)
    begun = steps.get(key)
    if begun is None:
        raise RecordError(f"log: step {seq} of lane {lane!r} ended without a begin")
    changes: dict[str, Any] = {"state": state, "end_ns": record.ns, "end_seq": record.seq, "error": error}
    if happened is not None:
        changes["effects"] = happened
    steps[key] = msgspec.structs.replace(begun, **changes)
