"""Reading records: what is whole is read, a torn end is counted, anything else is named by file and line."""

import tracemalloc
from time import process_time

import msgspec
import pytest

from crashlab.engine.results.read import Records
from crashlab.errors import RecordError
from crashlab.model.case import Case
from crashlab.model.event import Event, EventKind
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome
from crashlab.report.ndjson import NdjsonWriter

FOUND = Finding(Identity("durability", "acked-present", "s", "power-loss"), "row 7 is gone", {"rows": [7]})


def outcome(number):
    verdict, findings = (Verdict.FAIL, (FOUND,)) if number % 7 == 0 else (Verdict.PASS, ())
    case = Case("s", number, "kill@ack#5", {"every": 3})
    return Outcome(f"t-{number:06d}", case, verdict, Ended(EndKind.SIGNALLED, 9), findings=findings, acked=number)


def events(count):
    yield Event(0, 0, EventKind.CAMPAIGN_STARTED, "", {"name": "campaign", "slots": 2})
    for number in range(count):
        found = outcome(number)
        data = {"outcome": msgspec.to_builtins(found)}
        yield Event(number + 1, number, EventKind.TRIAL_FINISHED, found.trial_id, data)


def write(path, wanted):
    with open(path, "wb") as stream:
        writer = NdjsonWriter(stream)
        for event in wanted:
            writer(event)
    return path


def test_what_was_written_is_read_back(tmp_path):
    path = write(tmp_path / "records.ndjson", events(20))
    for named in (path, tmp_path, str(path)):
        records = Records(named)
        assert msgspec.json.encode(list(records.events())) == msgspec.json.encode(list(events(20)))
        assert list(records.outcomes()) == [outcome(number) for number in range(20)]
        assert (records.torn, records.whole) == (0, path.stat().st_size)


def test_a_kill_at_any_byte_loses_nothing_that_was_whole(tmp_path):
    path = write(tmp_path / "records.ndjson", events(3))
    data = path.read_bytes()
    for cut in {*range(0, len(data), 7), len(data) - 1}:
        path.write_bytes(data[:cut])
        records = Records(path)
        whole = data[:cut].rfind(b"\n") + 1
        assert sum(1 for _ in records) == data[:whole].count(b"\n")
        assert (records.whole, records.torn) == (whole, cut - whole)


def test_a_bad_line_is_named_by_file_and_line(tmp_path):
    path = write(tmp_path / "records.ndjson", events(5))
    lines = path.read_bytes().splitlines(keepends=True)
    newer = msgspec.json.encode(Event(3, 0, "note", format_version=2)) + b"\n"
    for bad, why in (
        (b"\n", "no event"),
        (b"\0" * 400 + b"\n", "no event"),
        (b"[1]\n", "no event"),
        (b'{"seq": 1, "ns": 2, "kind": "note", "more": 1}\n', "more"),
        (b'{"seq": 1, "ns": 2, "kind": "note", "trial_id": "\xff"}\n', "no event"),
        (lines[3][: len(lines[3]) // 2] + b"\n", "no event"),
        (newer, "format version 2"),
    ):
        path.write_bytes(b"".join(lines[:3]) + bad + b"".join(lines[3:]))
        with pytest.raises(RecordError, match=f"records.ndjson, line 4: .*{why}") as raised:
            list(Records(path))
        assert "\n" not in str(raised.value)
    broken = lines[3].replace(b'"verdict":"', b'"verdict":"X')
    path.write_bytes(b"".join([*lines[:3], broken]))
    with pytest.raises(RecordError, match=r"line 4: .*trial-finished without an outcome"):
        list(Records(path).outcomes())


def test_what_is_no_record_is_refused_by_name(tmp_path, monkeypatch):
    foreign = tmp_path / "foreign"
    for data in (b"SQLite format 3\0" + bytes(84), b'{"a": 1}\n', b"hello\nworld\n", b"\x1f\x8b\x08\n"):
        foreign.write_bytes(data)
        with pytest.raises(RecordError, match="foreign: not the records of a campaign"):
            list(Records(foreign))
    foreign.write_bytes(b"{" * 5000)
    monkeypatch.setattr("crashlab.engine.results.read.LINE_BYTES_MAX", 1000)
    with pytest.raises(RecordError, match="foreign: not the records of a campaign"):
        list(Records(foreign))
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(RecordError, match=r"directory of a run|such as"):
            Records(missing)


def test_an_empty_file_has_no_events(tmp_path):
    path = tmp_path / "records.ndjson"
    path.write_bytes(b"")
    assert list(Records(path)) == []


def test_many_results_are_read_quickly_and_one_at_a_time(tmp_path):
    path = write(tmp_path / "records.ndjson", events(20_000))
    tracemalloc.start()
    assert sum(1 for _ in Records(path).outcomes()) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20 < path.stat().st_size
    began = process_time()
    assert sum(1 for _ in Records(path).outcomes()) == 20_000
    assert process_time() - began < 2.0  # 10^6 in 20 s at worst, on a busy machine; 3 s on a quiet one
