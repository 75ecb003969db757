"""Any bytes: no exception, bounded work, and no more silence about damage than SQLite's own check."""

import sqlite3
from collections import Counter
from contextlib import closing
from itertools import islice
from random import Random

import pytest
from generated_databases import build
from hypothesis import given, settings
from hypothesis import strategies as st

from crashlab.sqlite.btree import varint
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.columns import table_columns
from crashlab.sqlite.indexes import check_index
from crashlab.sqlite.pages import database, guess_page_size
from crashlab.sqlite.records import decode
from crashlab.sqlite.rows import page_rows, rows
from crashlab.sqlite.walk import walk

WAYS = ("bit", "byte", "zeroed page", "page over another", "page header", "pointer", "cut", "half a page zeroed")
NOT_COVERED = (
    "plain_some",  # a partial index
    "value in",  # types of values
    "PRIMARY KEY order",
    "out of order",
    "NULL value in",
    "non-unique",
    "malformed database schema (sqlite_",
)


def mutate(random, original, page_size):
    data, pages = bytearray(original), len(original) // page_size
    how = random.choice(WAYS)
    start = random.randrange(pages) * page_size
    if how == "bit":
        data[random.randrange(100, len(data))] ^= 1 << random.randrange(8)
    elif how == "byte":
        data[random.randrange(100, len(data))] = random.randrange(256)
    elif how == "zeroed page":
        data[start or page_size : (start or page_size) + page_size] = bytes(page_size)
    elif how == "page over another":
        other = random.randrange(pages) * page_size
        data[start or page_size : (start or page_size) + page_size] = original[other : other + page_size]
    elif how == "page header":
        data[start + random.randrange(12)] = random.randrange(256)
    elif how == "pointer":
        data[start + 8 + random.randrange(40)] ^= 1 << random.randrange(8)
    elif how == "cut":
        del data[max(start, page_size) :]
    else:
        data[start + page_size // 2 : start + page_size] = bytes(page_size // 2)
    return bytes(data), how


def by_sqlite(data):
    """What SQLite's integrity_check complains of; empty for a sound database."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(data)
            connection.set_progress_handler(lambda: 1, 5_000_000)
            lines = [str(line) for (line,) in connection.execute("pragma integrity_check(3)")]
        except (sqlite3.Error, UnicodeError) as error:
            return [str(error)]
    return [] if lines == ["ok"] else lines


def by_us(data):
    """Whether the walk or a comparison of an index finds anything; all rows are read on the way."""
    source = database(MemoryBuffer(data))
    found = walk(source)
    indexes = [tree for tree in found.schema.trees if tree.index]
    checks = [check_index(source, found.schema, tree) for tree in indexes]
    for tree in found.schema.trees:
        columns = None if tree.index else table_columns(tree.name, tree.sql)
        for _ in rows(source, tree, columns):
            pass
    for page in found.unused.tolist():
        for _ in page_rows(source, page):
            pass
    return bool(found.problems) or any(not (check.same or check.reason) for check in checks)


def mutations(directory, seeds, each):
    """Compare both on mutated databases; returns how often which of them complained, and what only SQLite said."""
    agreement, missed = Counter(), []
    for seed in seeds:
        random = Random(f"mutations {seed}")
        page_size, longest = random.choice((512, 512, 1024, 4096)), random.choice((20, 300))
        build(directory / "a.db", seed, page_size=page_size, longest=longest)
        original = (directory / "a.db").read_bytes()
        assert not by_sqlite(original)
        assert not by_us(original)
        for _ in range(each):
            data, how = mutate(random, original, page_size)
            theirs, ours = by_sqlite(data), by_us(data)
            agreement[bool(theirs), ours] += 1
            if theirs and not ours and not any(text in theirs[0] for text in NOT_COVERED):
                missed.append((seed, how, theirs[0]))
    return agreement, missed


def test_the_walk_misses_no_damage_of_the_classes_it_covers(tmp_path):
    agreement, missed = mutations(tmp_path, range(12), 20)
    assert not missed
    assert agreement[True, True] > 100
    assert agreement[True, False] < 0.05 * agreement[True, True]
    # What only we complain of is true damage, to free pages: SQLite's check looks at neither the freelist nor the
    # pointer map where the first object that it finds in the schema is a view or a virtual table.
    assert agreement[False, True] < 0.1 * agreement[True, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thousands_of_mutations(tmp_path):
    agreement, missed = mutations(tmp_path, range(1000, 1400), 25)
    assert sum(agreement.values()) == 10_000
    assert len(missed) < 0.002 * agreement[True, True], missed


@given(st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_random_pages_with_plausible_headers_are_survived(seed):
    """Pages whose every pointer leads to another page: cycles, shared chains, overlapping cells."""
    random = Random(seed)
    size, pages = 512, 24
    data = bytearray(size * pages)
    for number in range(pages):
        start = number * size
        at = start + (100 if not number else 0)
        data[at] = random.choice((2, 5, 10, 13))
        cells = random.randrange(30)
        data[at + 3 : at + 5] = cells.to_bytes(2)
        data[at + 5 : at + 7] = random.randrange(120, 400).to_bytes(2)
        data[at + 8 : at + 12] = random.randrange(pages + 2).to_bytes(4)
        for cell in range(40):
            place = at + (12 if data[at] in (2, 5) else 8) + 2 * cell
            data[place : place + 2] = random.randrange(150, 509).to_bytes(2)
        for place in range(start + 250, start + size - 4, 4):
            data[place : place + 4] = random.choice((random.randrange(pages + 1), random.randrange(1 << 32))).to_bytes(
                4
            )
    data[:100] = build_header(size, pages)
    by_us(bytes(data))


def build_header(size, pages):
    head = bytearray(100)
    head[:16] = b"SQLite format 3\0"
    head[16:18], head[18:24] = size.to_bytes(2), b"\1\1\0\x40\x20\x20"
    head[28:32], head[44:48], head[56:60] = pages.to_bytes(4), (4).to_bytes(4), (1).to_bytes(4)
    head[32:36], head[36:40] = (3).to_bytes(4), (9).to_bytes(4)
    return bytes(head)


@given(st.binary(max_size=200), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
def test_any_record_is_decoded_as_far_as_it_goes(data, encoding):
    values, problem = decode(data, encoding)
    assert problem or data
    assert len(values) <= len(data)


@given(st.integers(0, (1 << 64) - 1))
def test_variable_length_integers(number):
    """The encoding as the document writes it, seven bits at a time, and all eight of a ninth byte."""
    if number >> 56:
        groups = [number & 0xFF, *(number >> 8 + 7 * place & 0x7F for place in range(8))]
    else:
        groups = list(islice((number >> 7 * place & 0x7F for place in range(8)), max(1, -(-number.bit_length() // 7))))
    raw = bytes([*(0x80 | group for group in groups[:0:-1]), groups[0]])
    assert varint(raw + b"\xff", 0) == (number, len(raw))


@given(st.binary(max_size=5000))
def test_any_bytes_are_no_database_or_a_damaged_one(data):
    guess_page_size(MemoryBuffer(data))
    by_us(data)
    by_us(build_header(512, 5) + data)


def test_statements_of_a_schema_can_do_nothing_but_describe():
    for sql in (
        "create table t as with recursive n(x) as (select 1 union all select x + 1 from n) select x from n",
        "attach 'other.db' as o",
        "create table t(a default (randomblob(1000000000)))" + ";" * 9 + "select 1",
        "pragma writable_schema=on",
        "create table t(" + ",".join(f"c{number}" for number in range(400_000)) + ")",
    ):
        assert table_columns("t", sql) is None
    huge = table_columns("t", "create table t(a default (zeroblob(2000000000)), b default 7)")
    assert huge.defaults == (None, 7)
    custom = "create table t(a integer primary key, b text collate unheard check (their_function(b)), c as (f2(b)))"
    assert table_columns("t", custom).names == ("a", "b")
