import contextlib
import struct
from pathlib import Path

import pytest

from crashlab.errors import RecordError
from crashlab.log.format import HEADER, HEADER_SIZE, RECORD, Kind, segment_name
from crashlab.log.reader import log_bases, read_log
from crashlab.log.writer import LogWriter

USED_AT = 32


@pytest.fixture
def base(tmp_path: Path) -> str:
    base = str(tmp_path / "log.0")
    log = LogWriter(base, segment_bytes=4096)
    for number in range(5):
        log.append(Kind.NOTE, b"note %d" % number)
    log.close()
    return base


def change(base: str, at: int, data: bytes, number: int = 0) -> None:
    path = Path(segment_name(base, number))
    raw = bytearray(path.read_bytes())
    raw[at : at + len(data)] = data
    path.write_bytes(raw)


def used(base: str) -> int:
    (value,) = struct.unpack_from("<Q", Path(segment_name(base, 0)).read_bytes(), USED_AT)
    return int(value)


def test_a_record_that_was_not_published_is_not_there(base):
    """The writer dies after it has stored a record's bytes and before it moves the count of bytes in use."""
    end = used(base)
    record = RECORD.pack(RECORD.size + 4, Kind.NOTE, 0, 5, 1, 1) + b"torn"
    for part in (1, RECORD.size - 1, RECORD.size, len(record)):
        change(base, end, record[:part])
        assert [r.payload for r in read_log(base)] == [b"note %d" % n for n in range(5)]


def test_a_segment_that_was_only_created_is_empty(base, tmp_path):
    Path(segment_name(base, 1)).write_bytes(bytes(4096))
    assert len(list(read_log(base))) == 5


def test_no_log_at_all_is_no_records(tmp_path):
    assert list(read_log(str(tmp_path / "log.7"))) == []
    assert log_bases(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("at", "data", "says"),
    [
        (0, b"SQLite f", "not a log"),
        (8, struct.pack("<I", 2), "log version 2, this crashlab reads up to 1"),
        (USED_AT, struct.pack("<Q", 1 << 40), "the log is truncated"),
        (USED_AT, struct.pack("<Q", HEADER_SIZE + 8), "half a record"),
        (HEADER_SIZE, struct.pack("<I", 3), "record of 3 bytes"),
        (HEADER_SIZE, struct.pack("<I", 1 << 31), "the log is damaged"),
        (HEADER_SIZE + 8, struct.pack("<Q", 9), "record 9 where 0 was expected"),
    ],
)
def test_a_damaged_or_foreign_log_is_refused_in_one_line(base, at, data, says):
    change(base, at, data)
    with pytest.raises(RecordError) as caught:
        list(read_log(base))
    assert says in str(caught.value)
    assert segment_name(base, 0) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_log_cut_short_is_refused(base):
    path = Path(segment_name(base, 0))
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert list(read_log(base)) == []  # killed between creating the segment and sizing it
    for size in (1, 10, HEADER_SIZE - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(RecordError, match="not a log"):
            list(read_log(base))
    path.write_bytes(whole[: used(base) - 8])
    with pytest.raises(RecordError, match="truncated"):
        list(read_log(base))


def test_a_missing_segment_in_the_middle_is_refused(tmp_path):
    base = str(tmp_path / "log.0")
    log = LogWriter(base, segment_bytes=4096)
    for _ in range(200):
        log.append(Kind.NOTE, b"x" * 80)
    log.close()
    Path(segment_name(base, 2)).write_bytes(Path(segment_name(base, 3)).read_bytes())
    with pytest.raises(RecordError, match="was expected"):
        list(read_log(base))


def test_a_flipped_bit_anywhere_is_refused_or_harmless(base):
    """Whatever the bytes are, reading ends in records or in a RecordError."""
    path = Path(segment_name(base, 0))
    whole = path.read_bytes()
    for at in range(used(base)):
        for bit in (0, 6):
            raw = bytearray(whole)
            raw[at] ^= 1 << bit
            path.write_bytes(raw)
            with contextlib.suppress(RecordError):
                assert len(list(read_log(base))) <= 5


def test_the_header_fits_before_the_count():
    assert HEADER.size <= USED_AT < HEADER_SIZE
