import sqlite3
from contextlib import closing

import msgspec

from crashlab.model.step import Effect, Table


def test_a_tables_query_reads_key_columns_then_value_columns_whatever_their_names():
    table = Table('or"der', ("a b", "group"), ('x"y',))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute('CREATE TABLE "or""der"("x""y", "group", "a b")')
        connection.execute('INSERT INTO "or""der" VALUES(1, 2, 3)')
        assert connection.execute(table.query).fetchall() == [(3, 2, 1)]


def test_effects_keep_the_types_that_sqlite_has():
    effect = Effect("t", (1, "k", b"\x00k"), (None, 0.1, b"\xff", 2**62, "ü"))
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(effect), type=Effect)
    assert decoded == effect
    assert [type(v) for v in decoded.value] == [type(v) for v in effect.value]
    tombstone = msgspec.msgpack.decode(msgspec.msgpack.encode(Effect("t", (1,), None)), type=Effect)
    assert tombstone.value is None
