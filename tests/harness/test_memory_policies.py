"""The comparison of PASSIVE and TRUNCATE: its kills kill, its looks see damage, and it says no more than was seen."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from crashlab.errors import LimitError
from harness.memory_policies import Conditions, compare_policies
from harness.memory_policies import kills as kills_module
from harness.memory_policies.children import Samples
from harness.memory_policies.computed import Computed
from harness.memory_policies.kills import Kills, kill_memory, kill_on
from harness.memory_policies.report import PASSIVE, TRUNCATE, Comparison, conclude, side
from harness.memory_policies.stage import PAGE, build, clean_context

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="processes that die of a signal")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "memory.db"
    assert build(path, 100, 1) >= 100
    return path


@POSIX
@pytest.mark.slow
def test_a_whole_comparison_in_small(tmp_path: Path) -> None:
    conditions = Conditions(
        rounds=1, pages=150, writes=60, kills=4, kills_large=1, states=2000, directory=str(tmp_path)
    )
    *comparisons, passive, truncate, conclusion = compare_policies(conditions)
    for computed in (passive, truncate):
        assert isinstance(computed, Computed)
        assert computed.states > 3000
        assert computed.failed == 0
    assert [(each.size, each.readers, each.disk_busy) for each in comparisons if isinstance(each, Comparison)] == [
        (size, readers, busy)
        for size in ("small", "large")
        for readers, busy in ((0, False), (2, False), (2, True))
    ]  # fmt: skip
    for each in comparisons:
        assert isinstance(each, Comparison)
        assert each.passive.checkpoints == each.truncate.checkpoints == 1
        assert each.passive.wal_mib_max > 0
        assert (each.passive.kills is None) == each.disk_busy
    assert "Neither policy lost an acked row: PASSIVE 0/1" in str(conclusion)
    assert os.listdir(tmp_path) == []


@POSIX
@pytest.mark.parametrize("mode", [PASSIVE, TRUNCATE])
def test_a_writer_is_killed_and_everything_acked_is_looked_for(database: Path, mode: str) -> None:
    context = clean_context()
    found = kill_on(context, database, mode, 2, 7, window_s=0.001)
    assert (found.hit, found.lost, found.malformed) == (2, 0, 0)


@POSIX
@pytest.mark.parametrize("harm", ["row", "page"])
def test_what_is_lost_or_damaged_after_a_kill_is_counted(
    database: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    kill = kills_module._one_kill

    def kill_and_harm(*args: object) -> tuple[list[str], bool]:
        acked, inside = kill(*args)  # type: ignore[arg-type]
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            if harm == "row":
                connection.execute("DELETE FROM messages WHERE message_key = ?", (acked[0],))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if harm == "page":
            with database.open("r+b") as file:
                file.seek(3 * PAGE)
                file.write(b"\xff" * PAGE)
        return acked, inside

    monkeypatch.setattr(kills_module, "_one_kill", kill_and_harm)
    found = kill_on(clean_context(), database, PASSIVE, 1, 7, window_s=0.0)
    assert (found.lost, found.malformed) == ((1, 0) if harm == "row" else (0, 1))


def test_the_workload_is_killed_in_its_checkpoints() -> None:
    found = kill_memory(PASSIVE, 0, 12, 3)
    assert found.hit >= 8
    assert found.in_checkpoint
    assert (found.lost, found.malformed, found.other) == (0, 0, 0)


def test_a_broken_log_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = msgspec.structs.replace(kills_module.MEMORY, workload="harness.planted.memory.ack_before_commit:workload")
    monkeypatch.setattr(kills_module, "MEMORY", broken)
    assert kill_memory(PASSIVE, 0, 12, 3).lost


def test_no_room_is_said_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="pages"):
        build(tmp_path / "a.db", 10**12, 1)
    assert os.listdir(tmp_path) == []


def compared(ratios: tuple[float, ...], lost: int) -> Comparison:
    samples = Samples([1.0, 2.0], [4.0], 1 << 20, 0, 0, 0.003)
    sides = [side(mode, [samples], Kills(100, lost if mode == TRUNCATE else 0)) for mode in (PASSIVE, TRUNCATE)]
    return Comparison("small", 200, 0, False, len(ratios), sides[0], sides[1], ratios)


def test_the_conclusion_says_what_was_seen_and_no_more() -> None:
    clean = str(conclude([compared((1.2, 3.0), 0)]))
    assert "Neither policy lost an acked row: PASSIVE 0/100, 95 % upper bound 3.0 %" in clean
    assert "took longer in every round with: small database, no readers" in clean
    assert "no claim that TRUNCATE loses or damages" in clean
    assert "This holds for process death, with one writer" in clean
    assert "no claim" not in str(conclude([compared((1.2, 3.0), 0)], [Computed(TRUNCATE, 100, 1, ("durability",))]))
    open_question = str(conclude([compared((0.9, 3.0), 0)]))
    assert "do not agree on which took longer" in open_question
    lossy = str(conclude([compared((1.2, 3.0), 2)]))
    assert "Kills lost an acked row: PASSIVE 0/100" in lossy
    assert "TRUNCATE 2/100 = 2.0 %" in lossy
    assert "no claim" not in lossy
