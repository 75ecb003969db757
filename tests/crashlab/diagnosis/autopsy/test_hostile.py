"""Any bytes are examined and ranked without an exception, within bounds."""

import sqlite3
import time

import pytest

from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import verdict_of, with_checks
from crashlab.model.seed import rng_for
from crashlab.sqlite.files import Triplet

SECONDS_MAX = 5.0


@pytest.fixture(scope="module", params=["wal", "delete"])
def files(request, tmp_path_factory):
    """Main, side files: role suffix -> bytes, as a crash leaves them."""
    path = tmp_path_factory.mktemp("hostile") / "a.db"
    connection = sqlite3.connect(path)
    for statement in (
        "pragma page_size=512",
        "pragma auto_vacuum=full",
        f"pragma journal_mode={request.param}",
        "pragma cache_size=2",
        "create table t(a integer primary key, b text, c blob)",
        "create index ti on t(b)",
        "create virtual table f using fts5(x)",
    ):
        connection.execute(statement)
    for number in range(40):
        connection.execute("insert into t values (?, ?, zeroblob(900))", (number, f"row {number}"))
        connection.execute("insert into f values (?)", (f"words of {number}",))
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
        pytest.param(50_000, marks=[pytest.mark.nightly, pytest.mark.timeout(14_400)]),
    ],
)
def test_no_bytes_break_it(files, tmp_path, mutations):
    rng = rng_for(7, "hostile", mutations, *files)
    slowest = 0.0
    for _ in range(mutations):
        triplet = Triplet.of(tmp_path / "evidence.db")
        for path in triplet.existing():
            path.unlink()
        for suffix, data in mutated(rng, files).items():
            (tmp_path / f"evidence.db{suffix}").write_bytes(data)
        began = time.monotonic()
        features = with_checks(examine(triplet, keys=True).features, {})
        rank(features)
        verdict_of(features, unchanged=True)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < SECONDS_MAX
