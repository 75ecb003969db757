"""Any bytes are examined and ranked without an exception, within bounds, and without a change of them."""

import sqlite3

import pytest

from crashlab.model.seed import rng_for

EVERY = 100  # one in so many goes through the whole autopsy, which lets SQLite open a copy
KINDS = {
    "wal": ("page_size=512", "auto_vacuum=full", "journal_mode=wal"),
    "delete": ("page_size=512", "auto_vacuum=full", "journal_mode=delete"),
    "utf16": ("page_size=1024", "encoding='UTF-16le'", "journal_mode=wal"),
}


@pytest.fixture(scope="module", params=KINDS)
def files(request, tmp_path_factory):
    """Main, side files: role suffix -> bytes, as a crash leaves them."""
    path = tmp_path_factory.mktemp("hostile") / "a.db"
    connection = sqlite3.connect(path)
    for statement in (
        *(f"pragma {each}" for each in (*KINDS[request.param], "wal_autocheckpoint=0", "cache_size=2")),
        "create table t(a integer primary key, b text, c blob)",
        "create index ti on t(b)",
        "create table w(a text primary key, b, g as (b + 1)) without rowid",
        "create unique index wb on w(b) where b > 3",
        "create view v as select a from t",
        "create virtual table f using fts5(x)",
    ):
        connection.execute(statement)
    for number in range(40):
        connection.execute("insert into t values (?, ?, zeroblob(900))", (number, f"row {number}"))
        connection.execute("insert into w(a, b) values (?, ?)", (f"key {number}", number))
        connection.execute("insert into f values (?)", (f"words of {number}",))
        if number == 25:
            connection.commit()
            connection.execute("pragma wal_checkpoint")
    connection.commit()
    connection.execute("delete from t where a % 3 = 0")
    found = {suffix: _read(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")}
    connection.close()
    return {suffix: data for suffix, data in found.items() if data}


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def mutated(rng, files):
    """Some of the files, with bytes changed, cut, repeated or replaced."""
    made = {suffix: bytearray(data) for suffix, data in files.items() if rng.random() < 0.9}
    for data in made.values():
        for _ in range(rng.choice((0, 1, 1, 3, 20))):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 200))
            data[at] = rng.choice((0, 1, 255, 128, rng.randrange(256)))
        how = rng.random()
        if how < 0.1:
            del data[rng.randrange(len(data)) :]
        elif how < 0.2:
            start = rng.randrange(len(data))
            data[start : start + 512] = data[rng.randrange(len(data)) :][:512]
    return made


@pytest.mark.parametrize(
    "mutations",
    [
        50,
        pytest.param(500, marks=pytest.mark.slow),
        pytest.param(34_000, marks=[pytest.mark.nightly, pytest.mark.timeout(14_400)]),
    ],
)
def test_no_bytes_break_it(files, tmp_path, mutations, looked_at):
    rng = rng_for(7, "hostile", mutations, *files)
    path = tmp_path / "evidence.db"
    for _ in range(mutations):
        for each in tmp_path.iterdir():
            each.unlink()
        for suffix, data in mutated(rng, files).items():
            (tmp_path / f"evidence.db{suffix}").write_bytes(data)
        looked_at(path, whole=not (looked_at.count + 1) % EVERY)
    print(looked_at)
    assert looked_at.slowest < looked_at.SECONDS_MAX
