import sqlite3
from contextlib import closing

import pytest

from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.pages import database
from crashlab.sqlite.problems import Kind, Scope
from crashlab.sqlite.schema import Purpose, SchemaEntry, read_schema
from crashlab.sqlite.statements import statement_problems
from crashlab.sqlite.walk import walk


def made(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path.read_bytes()


def schema_of(data):
    return read_schema(database(MemoryBuffer(data)))


def test_every_tree_is_told_by_what_it_is_for(tmp_path):
    data = made(
        tmp_path / "a.db",
        "create table plain(a integer primary key autoincrement, b unique)",
        "create table keyed(a primary key, b) without rowid",
        'create virtual table "full text" using fts5(body)',
        "create virtual table outside using FTS5(b, content='plain', content_rowid=a)",
        "create virtual table none_kept using fts5(body, content='')",
        "create virtual table old using fts4(body)",
        "create virtual table boxes using rtree(id, x1, x2)",
        "create table old_segments_of_mine(a)",
        "create view v as select 1",
    )
    schema = schema_of(data)
    assert schema.problems == ()
    assert statement_problems(schema.entries) == []
    purposes = {tree.name: tree.purpose for tree in schema.trees}
    expected = {
        "sqlite_schema": Purpose.SCHEMA,
        "plain": Purpose.TABLE,
        "sqlite_sequence": Purpose.INTERNAL,
        "sqlite_autoindex_plain_1": Purpose.INDEX,
        "keyed": Purpose.TABLE,
        "full text_data": Purpose.FTS_INDEX,
        "full text_idx": Purpose.FTS_INDEX,
        "full text_content": Purpose.FTS_CONTENT,
        "outside_data": Purpose.FTS_INDEX,
        "none_kept_data": Purpose.SHADOW,  # nothing to rebuild it from
        "old_segdir": Purpose.FTS_INDEX,
        "old_content": Purpose.FTS_CONTENT,
        "boxes_node": Purpose.SHADOW,
        "old_segments_of_mine": Purpose.TABLE,
    }
    assert {name: purposes[name] for name in expected} == expected
    scopes = {schema.tree(name).scope for name in ("full text_content", "none_kept_data", "boxes_node", "keyed")}
    assert scopes == {Scope.STRUCTURE}
    assert [tree.name for tree in schema.indexes("PLAIN")] == ["sqlite_autoindex_plain_1"]
    assert {tree.name for tree in schema.trees if tree.without_rowid and not tree.index} >= {"keyed", "full text_idx"}
    assert not walk(database(MemoryBuffer(data))).problems


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"TABLE t(a)", b"TABLF t(a)", "syntax error"),
        (b"INDEX i on t", b"INDEX j on t", "makes no index of this name"),
        (b"VIEW v as select", b"VIEW v as selecu", "syntax error"),
    ],
)
def test_a_statement_that_sqlite_would_call_malformed(tmp_path, before, after, said):
    statements = "create table t(a)", "create index i on t(a)", "create view v as select 1"
    data = made(tmp_path / "a.db", *statements)
    damaged = data.replace(before, after)
    assert damaged != data
    assert not walk(database(MemoryBuffer(data))).problems
    found = walk(database(MemoryBuffer(damaged)))
    assert set(found.problems.kinds) == {Kind.SCHEMA}
    assert found.scope is Scope.STRUCTURE
    assert said in found.problems.listed[0].detail
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(damaged)
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            connection.execute("select * from t")


def test_of_a_schema_without_end_the_first_statements_are_tried():
    entries = [SchemaEntry("table", f"t{n}", f"t{n}", 2, f"CREATE TABLE t{n}(a)") for n in range(4300)]
    early = SchemaEntry("index", "i", "t4200", 3, "CREATE INDEX i on t4200(a)")
    assert statement_problems([early, *entries]) == []
    wrong = SchemaEntry("index", "i", "t7", 3, "CREATE INDEX i on t7(b)")
    assert [name for name, _ in statement_problems([wrong, *entries])] == ["i"]
    odd = SchemaEntry("table", "o", "o", 2, "CREATE TABLE o(a DEFAULT '\udcd9')")  # a byte that is no UTF-8
    assert statement_problems([odd]) == []
    many = SchemaEntry("table", "m", "m", 2, f"CREATE TABLE m(a CHECK ({'+'.join(f'f{n}(a)' for n in range(60))}))")
    ((name, text),) = statement_problems([many])
    assert (name, text[:22]) == ("m", "it names more than 50 ")


def test_a_root_page_beyond_the_file_and_a_root_of_the_wrong_kind(tmp_path):
    data = made(tmp_path / "a.db", "create table t(a)", "create table w(a primary key) without rowid")
    source = database(MemoryBuffer(data))
    swapped = bytearray(data)
    swapped[4096:8192], swapped[8192:12288] = source.page(3), source.page(2)
    found = walk(database(MemoryBuffer(bytes(swapped))))
    assert found.problems.kinds == {Kind.WRONG_KIND: 2}
    cut = walk(database(MemoryBuffer(data[:8192])))
    assert {Kind.SHORT_FILE, Kind.SCHEMA, Kind.NO_SUCH_PAGE} <= set(cut.problems.kinds)
