"""The processes of the comparison: the writer that is measured or killed, searchers, and one that keeps the disk busy.

Each is started with a clean interpreter or forked from one that has SQLite never used: no connection crosses a fork.
"""

import logging
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import msgspec

from crashlab.model.seed import rng_for
from store import CheckpointRound, MessageLog
from store.message_log.schema import PLAIN
from store.startup import file_uri

CHECKPOINT: Final = "checkpoint"
_LIFE_S_MAX: Final = 900.0
_PAUSE_S_MAX: Final = 0.02  # from a search to the next
_BLOCK: Final = 4 << 20
_BLOCKS: Final = 8

_RNG: Final = rng_for(65, "vocabulary")
_WORDS: Final = tuple("".join(_RNG.choices("abcdefghijklmnopqrstuvwxyz", k=_RNG.randint(2, 10))) for _ in range(20_000))
_RANKS: Final = [0.0]
for _rank in range(len(_WORDS)):
    _RANKS.append(_RANKS[-1] + 1 / (_rank + 1))  # Zipf: as words are in speech
del _RANKS[0]


def make_text(rng: random.Random) -> str:
    """A message of 10 to 40 words, frequent and rare ones as in speech."""
    return " ".join(rng.choices(_WORDS, cum_weights=_RANKS, k=rng.randint(10, 40)))


def quiet() -> None:
    """Keep what the log says of its checkpoints off the terminal: it is counted."""
    logging.getLogger("store").addHandler(logging.NullHandler())


class Samples(msgspec.Struct):
    """What one writer's run was like: milliseconds, bytes, counts."""

    appends_ms: list[float] = []
    checkpoints_ms: list[float] = []
    wal_bytes_max: int = 0
    blocked: int = 0
    incomplete: int = 0
    seconds: float = 0.0


class MeasuredLog(MessageLog):
    """A message log that times its periodic checkpoints."""

    samples: Samples | None = None

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        samples = self.samples
        if samples is None:
            return super()._checkpoint(connection, mode)
        samples.wal_bytes_max = max(samples.wal_bytes_max, os.stat(f"{self.path}-wal").st_size)
        began = time.perf_counter_ns()
        done = super()._checkpoint(connection, mode)
        samples.checkpoints_ms.append((time.perf_counter_ns() - began) / 1e6)
        samples.blocked += done.busy
        samples.incomplete += not done.busy and done.backlog_frames > 0
        return done


def connect(autocheckpoint: int, *args: Any, **options: Any) -> sqlite3.Connection:
    """`sqlite3.connect` with SQLite's own checkpoint at so many frames, 0 for never."""
    connection: sqlite3.Connection = sqlite3.connect(*args, **options)
    connection.execute(f"PRAGMA wal_autocheckpoint = {autocheckpoint}")
    return connection


def measure(path: str, mode: str, writes: int, autocheckpoint: int, seed: int, answer: Connection) -> None:
    """Append `writes` messages and send the samples."""
    quiet()
    rng = rng_for(seed, "texts")
    samples = Samples()
    with MeasuredLog(path, checkpoint_mode=mode, connect=partial(connect, autocheckpoint)) as log:
        session = log.create_session()
        log.samples = samples
        began = time.perf_counter()
        for _ in range(writes):
            text = make_text(rng)
            start = time.perf_counter_ns()
            log.append(session, "user", text)
            samples.appends_ms.append((time.perf_counter_ns() - start) / 1e6)
        samples.seconds = time.perf_counter() - began
        log.samples = None
    answer.send_bytes(msgspec.msgpack.encode(samples))


class TellingLog(MessageLog):
    """A message log that tells when a checkpoint begins."""

    teller: Connection | None = None

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> CheckpointRound:
        if self.teller is not None:
            self.teller.send(CHECKPOINT)
        return super()._checkpoint(connection, mode)


def write_until_killed(path: str, mode: str, name: str, seed: int, teller: Connection) -> None:
    """Append messages, telling the key of each that was acked, until somebody kills this process."""
    quiet()
    rng = rng_for(seed, "texts")
    log = TellingLog(path, checkpoint_mode=mode)
    log.initialize_database()
    session = log.create_session()
    log.teller = teller
    for number in range(1_000_000):
        key = f"{name}-{number}"
        log.append(session, "user", make_text(rng), key=key)
        teller.send(key)


def search_on(path: str, seed: int, ready: Event, stop: Event) -> None:
    """Search for words, the best hits first, until told to stop."""
    rng = rng_for(seed, "queries")
    sql = f"SELECT rowid FROM {PLAIN.table} WHERE {PLAIN.table} MATCH ? ORDER BY rank LIMIT 20"
    with closing(sqlite3.connect(file_uri(Path(path), "ro"), uri=True, timeout=5.0, isolation_level=None)) as reader:
        for _ in _until(stop):
            word = rng.choices(_WORDS, cum_weights=_RANKS)[0]
            reader.execute(sql, (f'"{word}"',)).fetchall()
            ready.set()
            time.sleep(rng.uniform(0, _PAUSE_S_MAX))


def keep_disk_busy(path: str, seed: int, ready: Event, stop: Event) -> None:
    """Write blocks to a file and sync each, until told to stop."""
    block = rng_for(seed, "block").randbytes(_BLOCK)
    with open(path, "wb", buffering=0) as file:
        for number in _until(stop):
            file.seek(number % _BLOCKS * _BLOCK)
            file.write(block)
            os.fsync(file.fileno())
            ready.set()


def _until(stop: Event) -> Iterator[int]:
    until = time.monotonic() + _LIFE_S_MAX
    number = 0
    while not stop.is_set() and time.monotonic() < until:
        yield number
        number += 1
