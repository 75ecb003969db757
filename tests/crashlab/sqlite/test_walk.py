"""The own reader against SQLite's: rows, page accounting, WAL commits; and what the walk says of planted damage."""

import sqlite3
from contextlib import closing, suppress
from random import Random

import pytest
from generated_databases import PAGE_SIZES, build, change, tables

from crashlab.sqlite.accounting import Role
from crashlab.sqlite.buffers import FileBuffer, MemoryBuffer
from crashlab.sqlite.columns import table_columns
from crashlab.sqlite.indexes import check_index
from crashlab.sqlite.pages import database, guess_page_size
from crashlab.sqlite.problems import Kind, Scope
from crashlab.sqlite.rows import page_rows, rows
from crashlab.sqlite.wal import parse_wal
from crashlab.sqlite.walk import walk

STATISTICS = sqlite3.connect(":memory:").execute("pragma compile_options").fetchall().count(("ENABLE_DBSTAT_VTAB",))


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def rows_agree(source, connection):
    """Every row of every table is what a query returns; returns how many there were."""
    schema = walk(source).schema
    seen = 0
    for name in tables(connection):
        tree = schema.tree(name)
        columns = table_columns(name, tree.sql)
        query = f"select {','.join(map(quoted, columns.names))} from {quoted(name)} not indexed"
        theirs = [repr(row) for row in connection.execute(query)]
        mine = list(rows(source, tree, columns))
        assert not [row for row in mine if row.problem]
        ours = [repr(row.values) for row in mine]
        assert sorted(ours) == sorted(theirs), name
        assert columns.without_rowid or ours == theirs, name
        seen += len(ours)
    return seen


def accounts_agree(found, connection):
    assert not found.problems, found.problems.listed
    assert found.pages == connection.execute("pragma page_count").fetchone()[0]
    free = len(found.of(Role.FREE_TRUNK)) + len(found.of(Role.FREE_LEAF))
    assert free == connection.execute("pragma freelist_count").fetchone()[0]
    assert not len(found.unused)
    assert sum(use.pages for use in found.trees) + free + len(found.of(Role.POINTER_MAP)) == found.pages
    if not STATISTICS:
        return
    query = "select path, pagetype, pageno, payload from dbstat where name = ? order by pageno"
    kinds = {"internal": Role.INTERIOR, "leaf": Role.LEAF, "overflow": Role.OVERFLOW}
    for use in found.trees:
        pages = connection.execute(query, (use.tree.name,)).fetchall()
        assert [found.use(page)[0] for _, _, page, _ in pages] == [kinds[kind] for _, kind, _, _ in pages]
        assert {found.use(page)[1].tree.name for _, _, page, _ in pages} == {use.tree.name}
        assert use.pages == len(pages)


@pytest.mark.parametrize("seed", range(48))
def test_rows_and_pages_are_those_that_sqlite_finds(tmp_path, seed):
    path = tmp_path / "a.db"
    build(path, seed, page_size=PAGE_SIZES[seed % 8])
    with FileBuffer(str(path)) as main:
        source = database(main)
        found = walk(source)
        with closing(sqlite3.connect(path)) as connection:
            rows_agree(source, connection)
            accounts_agree(found, connection)
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        for tree in found.schema.trees:
            if tree.index:
                checked = check_index(source, found.schema, tree)
                assert checked.same or checked.reason == "it is a partial index", checked
        assert guess_page_size(main) == source.page_size


@pytest.mark.parametrize("seed", range(8))
def test_every_commit_of_a_wal_can_be_read(tmp_path, seed):
    random = Random(f"wal {seed}")
    path, wal_path = tmp_path / "a.db", tmp_path / "a.db-wal"
    build(path, seed, journal="wal", page_size=PAGE_SIZES[seed])
    states = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma wal_autocheckpoint=0")
        for commit in range(7):
            if commit == 3:
                connection.execute("vacuum")
            elif commit == 5:
                connection.execute("create table later(a)")
            else:
                connection.execute("begin")
                change(connection, random, 200, fts=False, times=12)
                connection.execute("commit")
            contents = {name: rows_of(connection, name) for name in tables(connection)}
            pages = connection.execute("pragma page_count").fetchone()[0]
            states.append((parse_wal(wal_path.read_bytes()).committed, pages, contents))
        main, wal = MemoryBuffer(path.read_bytes()), MemoryBuffer(wal_path.read_bytes())
    for frames, pages, contents in states:
        source = database(main, wal, frames=frames)
        found = walk(source)
        assert (source.pages, found.problems.listed) == (pages, ())
        for name, wanted in contents.items():
            tree = found.schema.tree(name)
            mine = [repr(row.values) for row in rows(source, tree, table_columns(name, tree.sql))]
            assert sorted(mine) == sorted(wanted), name
    assert database(main, wal).overlay == source.overlay


def rows_of(connection, name):
    stored = [row[1] for row in connection.execute(f"pragma table_xinfo({quoted(name)})") if row[6] != 2]
    return [repr(row) for row in connection.execute(f"select {','.join(map(quoted, stored))} from {quoted(name)}")]


@pytest.mark.parametrize("page_size", [512, 4096])
def test_reserved_bytes_are_left_alone(tmp_path, page_size):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma page_size={page_size}")
        connection.execute("vacuum")
    raw = bytearray(path.read_bytes())
    raw[20], raw[105:107] = 32, (page_size - 32).to_bytes(2)
    path.write_bytes(raw)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("create table t(a integer primary key, b text)")
        connection.execute("begin")
        connection.executemany("insert into t(b) values(?)", [("x" * size,) for size in range(0, 1500, 3)])
        connection.execute("commit")
        source = database(MemoryBuffer(path.read_bytes()))
        assert source.usable == page_size - 32
        assert rows_agree(source, connection) == 500
        accounts_agree(walk(source), connection)


def test_many_small_trees_are_one_walk(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin")
        for table in range(700):
            connection.execute(f"create table t{table}(a unique)")
            connection.execute(f"insert into t{table} values({table})")
        connection.execute("commit")
    found = walk(database(MemoryBuffer(path.read_bytes())))
    assert not found.problems
    assert [use.entries for use in found.trees[1:]] == [1] * 1400


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_pages_full_of_records_that_overflow_at_the_least(tmp_path, page_size):
    """As many chains from one page as there can be: every one is followed."""
    path = tmp_path / "a.db"
    least = (page_size - 12) * 32 // 255 - 23
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma page_size={page_size}")
        connection.execute("create table t(a)")
        connection.execute("create table w(a primary key) without rowid")
        blob = bytes(least + page_size - 4 - (3 if page_size < 8192 else 4))
        connection.execute("begin")
        for number in range(40):
            connection.execute("insert into t values(?)", (blob,))
            connection.execute("insert into w values(?)", (bytes([number]) + blob[1:],))
        connection.execute("commit")
        accounts_agree(walk(database(MemoryBuffer(path.read_bytes()))), connection)


def test_wide_records_are_checked_to_their_last_column(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"create table t({','.join(f'c{number}' for number in range(900))})")
        connection.execute("begin")
        marks = ",".join("?" * 900)
        connection.executemany(f"insert into t values({marks})", [tuple("v" * (n % 3) for n in range(900))] * 150)
        connection.execute("commit")
    data = bytearray(path.read_bytes())
    twin = walk(database(MemoryBuffer(bytes(data))))
    assert not twin.problems
    page = int(twin.of(Role.LEAF)[-1])
    at = (page - 1) * 4096 + int.from_bytes(data[(page - 1) * 4096 + 8 : (page - 1) * 4096 + 10])
    data[at + 4 + 899] ^= 2  # the last serial type
    found = walk(database(MemoryBuffer(bytes(data))))
    assert found.problems.kinds == {Kind.RECORD: 1}
    assert found.problems.listed[0].page == page


class Counting:
    """A buffer that counts what is read of it."""

    def __init__(self, data):
        self.data, self.bytes = MemoryBuffer(data), 0

    @property
    def size(self):
        return self.data.size

    def read(self, at, length):
        found = self.data.read(at, length)
        self.bytes += len(found)
        return found


def test_every_page_is_read_once(tmp_path):
    path = tmp_path / "a.db"
    build(path, 5, changes=2000, page_size=1024, longest=300)
    main = Counting(path.read_bytes())
    found = walk(database(main))
    schema_pages = next(use.pages for use in found.trees)
    assert main.bytes < main.size + 1024 * (2 * schema_pages + found.pages // 50) + 4096


# -- planted damage: each with the scope and kind it must have, beside a twin that is sound --


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma page_size=1024")
        connection.execute("create table gone(x)")
        connection.execute("create table t(a integer primary key, b text)")
        connection.execute("create index i on t(b)")
        connection.execute("create virtual table words using fts5(body)")
        connection.execute("begin")
        for number in range(600):
            connection.execute("insert into t(b) values(?)", (f"{number % 97} " + "x" * 40,))
            connection.execute("insert into words values(?)", (f"word{number} common {number * 7}",))
            connection.execute("insert into gone values(?)", ("y" * 100,))
        connection.execute("insert into t(b) values(?)", ("long " * 2000,))
        connection.execute("commit")
        connection.execute("drop table gone")
    return path.read_bytes()


def walked(data):
    return walk(database(MemoryBuffer(bytes(data))))


def leaf(found, name):
    """A leaf of a tree, but not its root."""
    use = found.tree(name)
    owner = found.trees.index(use)
    return next(page for page in found.of(Role.LEAF).tolist() if found.owners[page] == owner and page != use.tree.root)


def test_the_twin_is_sound(sound):
    found = walked(sound)
    assert not found.problems
    assert found.scope is None
    assert len(found.of(Role.FREE_LEAF)) > 20


@pytest.mark.parametrize(
    ("tree", "scope"), [("t", Scope.STRUCTURE), ("i", Scope.INDEX), ("words_data", Scope.FTS), ("", Scope.SPACE)]
)
def test_damage_is_scoped_by_the_tree_it_is_in(sound, tree, scope):
    twin = walked(sound)
    page = leaf(twin, tree) if tree else int(twin.of(Role.FREE_TRUNK)[0])
    data = bytearray(sound)
    data[(page - 1) * 1024 : page * 1024] = b"\xee" * 1024
    found = walked(data)
    assert found.scope is scope, found.problems.listed
    assert [use.tree.name for use in found.damaged] == ([tree] if tree else [])
    if tree:
        assert str(found.problems.listed[0]) == f"{tree} page {page}: is no b-tree page"
        others = {problem.scope for problem in found.problems.listed[1:]}
        assert others <= {Scope.SPACE}  # its overflow pages belong to nothing now
        assert found.use(page)[0] is Role.BROKEN


def put(data, at, number, size):
    data[at : at + size] = number.to_bytes(size)


def first_cell(data, page):
    return (page - 1) * 1024 + int.from_bytes(data[(page - 1) * 1024 + 8 : (page - 1) * 1024 + 10])


PLANTED = {
    "cell pointer": (lambda data, page: put(data, (page - 1) * 1024 + 8, 1023, 2), Kind.CELL_POINTER),
    "overrun": (lambda data, page: put(data, first_cell(data, page), 0x83FF, 2), None),
    "overlap": (lambda data, page: put(data, (page - 1) * 1024 + 10, first_cell(data, page) % 1024, 2), None),
    "fragments": (lambda data, page: put(data, (page - 1) * 1024 + 7, 9, 1), Kind.FREE_SPACE),
    "free block": (lambda data, page: put(data, (page - 1) * 1024 + 1, 1022, 2), Kind.FREE_SPACE),
    "rowid": (lambda data, page: put(data, first_cell(data, page) + 1, 0x7F, 1), Kind.ROWID_ORDER),
    "record": (lambda data, page: put(data, first_cell(data, page) + 3, 0x7F, 1), Kind.RECORD),
    "kind": (lambda data, page: put(data, (page - 1) * 1024, 10, 1), Kind.WRONG_KIND),
    "too many cells": (lambda data, page: put(data, (page - 1) * 1024 + 3, 900, 2), Kind.FREE_SPACE),
}


@pytest.mark.parametrize("name", PLANTED)
def test_damage_inside_a_page_is_named(sound, name):
    plant, kind = PLANTED[name]
    page = leaf(walked(sound), "t")
    data = bytearray(sound)
    plant(data, page)
    found = walked(data)
    assert found.scope is Scope.STRUCTURE
    assert {problem.page for problem in found.problems.listed if problem.tree == "t"} == {page}
    assert kind is None or kind in found.problems.kinds, found.problems.listed
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(bytes(data))
        with suppress(sqlite3.DatabaseError):
            assert connection.execute("pragma integrity_check").fetchall() != [("ok",)]


def test_a_page_used_twice_blames_both_trees(sound):
    twin = walked(sound)
    data, use = bytearray(sound), twin.tree("t")
    root = (use.tree.root - 1) * 1024
    stolen = leaf(twin, "i")
    put(data, root + 8, stolen, 4)  # the right-most child
    found = walked(data)
    assert {"t", "i"} == {use.tree.name for use in found.damaged}
    assert found.problems.kinds[Kind.DOUBLE_USE] == 1
    assert found.scope is Scope.STRUCTURE
    assert Kind.NEVER_USED in found.problems.kinds
    orphan = int(found.unused[0])
    lost = [row for page in found.unused.tolist() for row in page_rows(database(MemoryBuffer(bytes(data))), page)]
    assert orphan
    assert lost  # the rows of the pages that are cut off are still there to be lifted


def test_a_cycle_is_not_followed(sound):
    twin = walked(sound)
    data, root = bytearray(sound), twin.tree("t").tree.root
    put(data, (root - 1) * 1024 + 8, root, 4)
    source = database(MemoryBuffer(bytes(data)))
    found = walk(source)
    assert found.problems.kinds[Kind.DOUBLE_USE] == 1
    problems = [row.problem for row in rows(source, found.schema.tree("t")) if row.problem]
    assert problems == ["page came before in this tree"]


@pytest.mark.parametrize(("place", "kind"), [(0, Kind.OVERFLOW_CHAIN), (1, Kind.DOUBLE_USE)])
def test_overflow_chains_cut_short_or_in_a_circle(sound, place, kind):
    twin = walked(sound)
    data = bytearray(sound)
    page = [page for page in twin.of(Role.OVERFLOW).tolist() if twin.use(page)[1].tree.name == "t"][1]
    put(data, (page - 1) * 1024, page * place, 4)
    found = walked(data)
    assert found.problems.kinds[kind] >= 1
    assert any(problem.tree == "t" for problem in found.problems.listed)
    source = database(MemoryBuffer(bytes(data)))
    (damaged,) = [row for row in rows(source, found.schema.tree("t")) if row.problem]
    assert damaged.rowid == 601
    assert "overflow page" in damaged.problem


def test_a_freelist_in_a_circle(sound):
    trunk = int.from_bytes(sound[32:36])
    data = bytearray(sound)
    put(data, (trunk - 1) * 1024, trunk, 4)
    found = walked(data)
    assert found.scope is Scope.SPACE
    assert "a second time" in " ".join(problem.detail for problem in found.problems.listed)


def test_an_index_that_missed_commits_is_index_damage(tmp_path):
    """As the WAL-reset defect leaves it: rows and index entries of different moments, each tree in order."""
    path = tmp_path / "a.db"

    def run(*statements):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    numbers = "with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000)"
    run(
        "create table t(a integer primary key, b)",
        "create index i on t(b)",
        f"{numbers} insert into t select x, x from n",
    )
    twin = walked(path.read_bytes())
    assert not twin.problems
    root = twin.schema.tree("i").root
    run("pragma writable_schema=on", "delete from sqlite_master where name='i'")
    run("delete from t where a between 500 and 520")
    entry = f"insert into sqlite_master values('index', 'i', 't', {root}, 'create index i on t(b)')"
    run("pragma writable_schema=on", entry)
    found = walked(path.read_bytes())
    assert found.scope is Scope.INDEX
    assert [str(problem) for problem in found.problems.listed] == [
        "i: index has another number of entries than its table has rows (2000 entries, t has 1979 rows)"
    ]
    checked = check_index(database(MemoryBuffer(path.read_bytes())), found.schema, found.schema.tree("i"))
    assert (checked.missing_count, checked.extra_count) == (0, 21)
    assert checked.extra[0] == (500, 500)
    run("reindex")
    assert not walked(path.read_bytes()).problems


def test_a_flipped_bit_in_a_value_is_seen_beside_the_index(sound):
    data = bytearray(sound)
    page = leaf(walked(sound), "t")
    data[page * 1024 - 3] ^= 4
    found = walked(data)
    assert not found.problems  # every page is in order
    checked = check_index(database(MemoryBuffer(bytes(data))), found.schema, found.schema.tree("i"))
    assert (checked.same, checked.missing_count, checked.extra_count) == (False, 1, 1)
    assert checked.missing[0][-1] == checked.extra[0][-1]  # the same rowid with another key


def test_a_file_cut_short_says_how_much_is_left(sound):
    found = walked(sound[: len(sound) // 2])
    assert Kind.SHORT_FILE in found.problems.kinds
    assert found.pages == len(sound) // 2048
    assert found.scope is Scope.STRUCTURE


def test_hostile_sizes_cost_nothing(sound):
    data = bytearray(sound)
    put(data, 28, 0xFFFFFFFE, 4)
    source = database(MemoryBuffer(bytes(data)))
    assert (source.pages, source.claimed_pages) == (len(sound) // 1024, 0xFFFFFFFE)
    assert Kind.SHORT_FILE in walk(source).problems.kinds


def test_what_is_no_database_is_said_and_not_walked():
    for data in (b"", b"hello" * 200, Random(1).randbytes(4096)):
        found = walked(data)
        assert found.pages == 0
        assert bool(found.problems) == bool(data)


def test_problems_are_capped_and_counted(sound):
    data = bytearray(sound)
    for page in range(3, len(sound) // 1024 + 1):
        if data[(page - 1) * 1024] == 13:
            data[(page - 1) * 1024 + 7] ^= 5
    put(data, 36, 0, 4)
    put(data, 32, 0, 4)
    problems = walked(data).problems
    never = problems.kinds[Kind.NEVER_USED]
    listed = [problem for problem in problems.listed if problem.kind is Kind.NEVER_USED]
    assert len(listed) == min(100, never)
    assert problems.total == len(problems.listed) + max(0, never - 100)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_with_the_lock_bytes_is_left_out(tmp_path):
    """A database of more than 1 GiB, most of it overflow; with a pointer map beside it."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("page_size=65536", "auto_vacuum=full", "journal_mode=off", "synchronous=off"):
            connection.execute(f"pragma {pragma}")
        connection.execute("create table t(a)")
        connection.execute("insert into t values(zeroblob(560000000))")
        connection.execute("insert into t values(zeroblob(560000000))")
    with FileBuffer(str(path)) as main:
        source = database(main)
        found = walk(source)
    assert not found.problems, found.problems.listed
    assert source.lock_page == 16385
    assert found.use(16385) == (Role.LOCK, None)
    assert found.pages > 17000
