"""A message log of 65 000 pages stays usable."""

import random

import pytest

from store import MessageLog

PAGES = 65_000


@pytest.mark.nightly
@pytest.mark.parametrize("mode", ["PASSIVE", "TRUNCATE"])
def test_a_log_of_65_000_pages_stays_usable(wal, path, mode):
    rng = random.Random(65)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(20_000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    texts = [" ".join(rng.choices(words, weights, k=rng.randint(100, 300))) for _ in range(2000)]
    with MessageLog(path, checkpoint_mode=mode) as log:
        wal_max = turn = 0
        while path.stat().st_size < PAGES * 4096:
            session = log.create_session(str(turn))
            log.append_many(session, [("user", rng.choice(texts)) for _ in range(50)])
            if turn % 20 == 0:
                log.compact(session, f"summary {turn}", keep_last=5)
            wal_max = max(wal_max, wal.stat().st_size)
            turn += 1
        assert wal_max < path.stat().st_size / 4
        session = log.create_session("last")
        number = log.append(session, "user", "a needle xqzxqz in it")
        assert [hit.message.message_id for hit in log.search("needle xqzxqz")] == [number]
        assert [hit.message.message_id for hit in log.search("qzxq", trigram=True)] == [number]
        assert len(log.search(words[0])) == 20
        assert log.fts_disagreements(thorough=False) == []
    with MessageLog(path) as log:
        assert log.search("xqzxqz")[0].message.message_id == number
