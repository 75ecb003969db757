"""Rows lifted out of a damaged database: everything that a sound page holds comes back, and what does not is told."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crashlab.diagnosis.salvage.generations import Sources
from crashlab.diagnosis.salvage.make import Wish, make
from crashlab.sqlite.buffers import MemoryBuffer
from crashlab.sqlite.pages import database
from crashlab.sqlite.walk import walk

ROWS = 300
SCHEMA = """
create table plain(id integer primary key autoincrement, who text unique, n real, b blob, extra);
create table norow(a text, b integer, c text, primary key(b, a)) without rowid;
create table gen(a integer, b text, up text generated always as (upper(b)) stored,
    low text generated always as (lower(b)) virtual, check (json_valid('{}')));
create table hidden(rowid text, v);
create table strict1(a integer primary key, b any, c text not null) strict;
create table child(id integer primary key, p integer references plain(id));
create table log(msg);
create index plain_n on plain(n);
create index part on plain(extra) where extra is not null;
create index expr on plain(lower(who));
create unique index gu on gen(a);
create view seen as select who from plain;
create trigger tr after insert on plain begin insert into log values (new.who); end;
create virtual table words using fts5(t, u);
create virtual table outside using fts5(who, content='plain', content_rowid='id');
create virtual table bare using fts5(x, content='');
create virtual table four using fts4(t);
create virtual table box using rtree(id, x0, x1);
"""
COMPARED = ("plain", "norow", "gen", "hidden", "strict1", "child", "log", "words", "four", "box", "sqlite_sequence")
ASKED = (
    "select type, name, tbl_name, sql from sqlite_master order by type, name",
    "pragma user_version", "pragma application_id", "pragma encoding", "pragma page_size", "pragma auto_vacuum",
    "pragma journal_mode", "select rowid from words where words match 'number77'",
    "select rowid from outside where outside match 'who88'", "select rowid from bare where bare match 'free99'",
    "select rowid from four where four match 'four55'", "select id from box where x0 > 290",
    "select * from sqlite_stat1 order by 1, 2",
)  # fmt: skip


def filled(path, *pragmas):
    """A database with one of everything."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}")
        connection.executescript(SCHEMA)
        run = connection.execute
        run("begin")
        for i in range(1, ROWS + 1):
            extra = None if i % 3 else i * 1.5
            run("insert into plain(who, n, b, extra) values (?,?,zeroblob(?),?)", (f"who{i}", i, i * 7 % 3000, extra))
            run("insert into norow values (?,?,?)", (f"a{i % 7}", i, "x" * (i % 900)))
            run("insert into gen(a, b) values (?,?)", (i, f"Bee{i}"))
            run("insert into hidden values ('r', ?)", (i,))
            run("insert into strict1 values (?,?,'c')", (i * 10, i if i % 2 else f"s{i}"))
            run("insert into child values (?,?)", (i, i))
            run("insert into words values (?, 'u')", (f"hello number{i}",))
            run("insert into outside(rowid, who) values (?,?)", (i, f"who{i}"))
            run("insert into bare(rowid, x) values (?,?)", (i, f"free{i}"))
            run("insert into four values (?)", (f"four{i}",))
            run("insert into box values (?,?,?)", (i, i, i + 1))
        run("delete from child where id > 295")
        run("delete from plain where id > 295")
        run("insert into gen(a, b) values (9999, cast(x'ff41' as text))")  # no valid UTF-8
        run("insert into log values (?)", ("nul\0inside",))
        run("commit")
        run("alter table child add column added text default 'later'")
        run("insert into child values (9000, 1, null)")
        run("analyze")
        run("pragma user_version=77")
        run("pragma application_id=-5")
    return path


def told(path):
    """Everything that can be asked of it, bytes as they are."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        answers = [connection.execute(sql).fetchall() for sql in ASKED]
        for table in COMPARED:
            rowid = "rowid, " if table in ("plain", "gen", "log") else ""
            answers.append(sorted(connection.execute(f"select {rowid}* from {table}").fetchall(), key=repr))
    return answers


@pytest.mark.parametrize(
    "pragmas",
    [
        ("page_size=1024",),
        ("page_size=512", "encoding='UTF-16le'", "auto_vacuum=full"),
        ("page_size=8192", "encoding='UTF-16be'", "auto_vacuum=incremental", "journal_mode=wal"),
    ],
)
def test_what_sqlite_reads_from_the_rows_is_what_it_read_before(tmp_path, pragmas):
    path = filled(tmp_path / "a.db", *pragmas)
    made = make(Sources(MemoryBuffer(path.read_bytes()), []), Wish("main", method="rows"), tmp_path / "b.db")
    assert (made.method, made.missing) == ("rows", ())
    assert not any(made.checks.values())
    assert told(tmp_path / "b.db") == told(path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("sound") / "a.db", "page_size=1024").read_bytes()


def rows_of(path, table):
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return set(connection.execute(f"select * from {table}").fetchall())


def owned(data, table, kind):
    """Pages of a table whose first byte is of a kind."""
    source = database(MemoryBuffer(data))
    found = walk(source)
    at = next(number for number, use in enumerate(found.trees) if use.tree.name == table)
    return [page for page in (found.owners == at).nonzero()[0].tolist() if source.head(page, 1)[0] == kind]


def damaged(data, page, fill=b"\xff"):
    return data[: (page - 1) * 1024] + fill * 1024 + data[page * 1024 :]


@pytest.mark.parametrize("table", ["plain", "norow", "log"])
def test_a_lost_page_costs_its_own_rows_and_they_are_told(tmp_path, sound, table):
    (tmp_path / "before.db").write_bytes(sound)
    before = rows_of(tmp_path / "before.db", table)
    for page in owned(sound, table, 10 if table == "norow" else 13)[:3]:
        made = make(Sources(MemoryBuffer(damaged(sound, page)), []), Wish("main"), tmp_path / f"{page}.db")
        after = rows_of(tmp_path / f"{page}.db", table)
        of_table = next(each for each in made.tables if each.name == table)
        lost = before - after
        assert after <= before
        assert 0 < len(lost) <= 130
        assert [gap.page for gap in of_table.gaps] == [page]
        if table != "norow":
            gap = of_table.gaps[0]
            assert (gap.upto or ROWS + 200) - (gap.after or 0) >= len(lost)
        assert not made.checks["integrity_check"]


def test_rows_below_a_lost_parent_are_found_when_asked_and_marked(tmp_path, sound):
    """An interior page is lost: its leaves belong to nothing. Only one table has such columns."""
    (tmp_path / "before.db").write_bytes(sound)
    hurt = damaged(sound, owned(sound, "strict1", 5)[0], b"\0")
    before = rows_of(tmp_path / "before.db", "strict1")
    plain = make(Sources(MemoryBuffer(hurt), []), Wish("main"), tmp_path / "plain.db")
    assert not rows_of(tmp_path / "plain.db", "strict1")
    assert any("--orphans" in note for note in plain.notes)
    made = make(Sources(MemoryBuffer(hurt), []), Wish("main", orphans=True), tmp_path / "orphans.db")
    assert rows_of(tmp_path / "orphans.db", "strict1") == before
    assert next(table.orphans for table in made.tables if table.name == "strict1") == len(before)


def test_a_broken_unique_row_is_set_aside_and_not_lost(tmp_path):
    """Two rows with one key, as a lost index update leaves them."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t(id integer primary key, who text unique)")
        connection.executemany("insert into t values (?, ?)", [(1, "anna"), (2, "bert"), (3, "carl")])
        connection.commit()
    data = path.read_bytes()
    at = data.index(b"bert")  # of the table, the first tree behind the schema
    hurt = data[:at] + b"anna" + data[at + 4 :]
    made = make(Sources(MemoryBuffer(hurt), []), Wish("main"), tmp_path / "b.db")
    assert made.method == "rows"
    assert rows_of(tmp_path / "b.db", "t") == {(1, b"anna"), (3, b"carl")}
    ((reason, _source, rowid, _id, who),) = rows_of(tmp_path / "b.db", "crashlab_aside_t")
    assert (rowid, who) == (2, b"anna")
    assert b"UNIQUE" in reason


def test_pages_of_another_tree_do_not_bring_its_rows(tmp_path, sound):
    """A leaf of `log` stands where one of `plain` was, as a stale checkpoint leaves it."""
    (tmp_path / "before.db").write_bytes(sound)
    mine, other = owned(sound, "plain", 13)[2], owned(sound, "log", 13)[0]
    image = sound[(other - 1) * 1024 : other * 1024]
    made = make(Sources(MemoryBuffer(damaged(sound, mine, b"")), []), Wish("main"), tmp_path / "cut.db")
    assert made.method == "rows"
    hurt = sound[: (mine - 1) * 1024] + image + sound[mine * 1024 :]
    make(Sources(MemoryBuffer(hurt), []), Wish("main"), tmp_path / "b.db")
    assert rows_of(tmp_path / "b.db", "plain") < rows_of(tmp_path / "before.db", "plain")
    assert rows_of(tmp_path / "b.db", "log") == rows_of(tmp_path / "before.db", "log")


def test_every_database_of_the_page_method_is_the_same_bytes(tmp_path, sound):
    made = make(Sources(MemoryBuffer(sound), []), Wish("main"), tmp_path / "b.db")
    assert made.method == "pages"
    assert Path(tmp_path / "b.db").read_bytes() == sound
