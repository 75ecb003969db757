"""Search says what a plain scan of the texts says, takes no query for syntax, and waits for no writer."""

import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import MessageLog, StoreError

WORDS = st.text("abcAB ", min_size=1, max_size=12)
SYNTAX = st.lists(
    st.sampled_from(["AND", "OR", "NOT", "NEAR(", ")", '"', "*", "^", "content:", "-", "a", "+", "{", "'"])
)
ANYTHING = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(WORDS, max_size=8), query=WORDS.filter(lambda text: not text.isspace()))
def test_search_agrees_with_a_scan(texts, query):
    with MessageLog(":memory:") as log:
        session = log.create_session()
        log.append_many(session, [("user", text) for text in texts])
        found = sorted(hit.message.content for hit in log.search(query))
        words = set(query.lower().split())
        assert found == sorted(text for text in texts if words <= set(text.lower().split()))
        if len(query) >= 3:
            found = sorted(hit.message.content for hit in log.search(query, trigram=True))
            assert found == sorted(text for text in texts if query.lower() in text.lower())


@settings(max_examples=150, deadline=None)
@given(query=SYNTAX.map(" ".join) | ANYTHING)
def test_no_query_is_an_error_of_sqlite(searched, query):
    for trigram in (False, True):
        if query.strip() and len(query) >= 3:
            searched.search(query, trigram=trigram)


@pytest.fixture(scope="module")
def searched():
    with tempfile.TemporaryDirectory() as directory, MessageLog(Path(directory) / "log.db") as log:
        log.append(log.create_session(), "user", 'a "quoted" AND b')
        yield log


def test_a_query_is_taken_literally(searched):
    assert [hit.message.message_id for hit in searched.search('"quoted" AND')] == [1]
    assert searched.search("quoted OR missing") == []
    assert searched.search("content:quoted", trigram=True) == []
    assert len(searched.search('a "quoted" and', trigram=True)) == 1


def test_best_first_newest_first_and_one_session_only(log):
    one, two = log.create_session(), log.create_session()
    log.append(one, "user", "cat cat cat")
    log.append(one, "user", "a cat among many other words that dilute it")
    log.append(two, "user", "the cat of the other session is here")
    assert log.search("cat")[0].message.message_id == 1
    assert [hit.message.message_id for hit in log.search("CAT", newest=True, limit=2)] == [3, 2]
    assert [hit.message.message_id for hit in log.search("cat", session_id=two)] == [3]


def test_a_search_waits_for_no_writer_and_sees_only_what_is_committed(log, talk):
    log.append(talk, "user", "committed word")
    found = []
    with log.transaction():
        log.append(talk, "user", "uncommitted word")
        thread = threading.Thread(target=lambda: found.extend(log.search("word")))
        thread.start()
        thread.join(10)
        assert [hit.message.content for hit in found] == ["committed word"]
    assert len(log.search("word")) == 2


def test_the_pool_is_bounded_reused_read_only_and_closed(make):
    opened = []

    def connect(*args, **options):
        connection = sqlite3.connect(*args, **options)
        opened.append((connection, str(args[0])))
        return connection

    log = make(cls=type("Hasty", (MessageLog,), {"BUSY_TIMEOUT_S": 0.2}), readers=2, connect=connect)
    before = len(opened)
    with log._readers.borrow() as first, log._readers.borrow():
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            first.execute("DELETE FROM messages")
        with pytest.raises(StoreError, match="all 2 readers were busy"):
            log.search("x")
    for _ in range(3):
        log.search("x")
    assert len(opened) - before == 2
    with pytest.raises(sqlite3.Error), log._readers.borrow() as broken:
        broken.execute("SELECT nonsense")
    log.search("x")
    log.close()
    for connection, _ in opened:
        with pytest.raises(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")
