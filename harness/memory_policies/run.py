"""The comparison: both policies in turn, round after round, under the same conditions."""

import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Final

import msgspec

from crashlab.decide.statistics import percentile
from crashlab.errors import LabError
from crashlab.model.seed import subseed
from harness.memory_policies.children import Samples, measure
from harness.memory_policies.computed import Computed, compute
from harness.memory_policies.kills import Kills, kill_memory, kill_on
from harness.memory_policies.report import PASSIVE, TRUNCATE, Comparison, Conclusion, conclude, side
from harness.memory_policies.stage import build, clean_context, company

MODES: Final = (PASSIVE, TRUNCATE)
SMALL_PAGES: Final = 200
READERS: Final = 2
_MEASURED_S: Final = 600.0


class Conditions(msgspec.Struct, frozen=True):
    """How much of everything. `pages` of the large database; `writes` of each run, a checkpoint every 50.

    `autocheckpoint`: SQLite's own, in frames, while times are taken; 0 for off.
    `kills` and `kills_large`: of each policy, with and without readers, on the workload and on the large database.
    `states`: computed crash states of each policy and model, 0 for none.
    `directory`: on the disk to be judged; the system's temporary directory if empty.
    """

    rounds: int = 5
    pages: int = 8000
    writes: int = 250
    kills: int = 200
    kills_large: int = 12
    states: int = 20_000
    autocheckpoint: int = 1000
    seed: int = 1
    directory: str = ""


def bench(*, rounds: int) -> Iterator[Comparison | Computed | Conclusion]:
    """The comparison in the time of a bench: a database of 8000 pages, kills in proportion to `rounds`."""
    yield from compare_policies(Conditions(rounds=rounds, kills=40 * rounds, kills_large=3 * rounds))


def compare_policies(conditions: Conditions) -> Iterator[Comparison | Computed | Conclusion]:
    """Yield the comparison for each condition, then what they support together.

    Raises:
        LabError: a process of the comparison broke.
        LimitError: no room for the large database.
    """
    context = clean_context()
    seed = conditions.seed
    done: list[Comparison] = []
    with tempfile.TemporaryDirectory(dir=conditions.directory or None, prefix="memory-policies-") as made:
        directory = Path(made)
        for size, wanted in (("small", SMALL_PAGES), ("large", conditions.pages)):
            original = directory / f"{size}.db"
            pages = build(original, wanted, seed)
            for readers, disk_busy in ((0, False), (READERS, False), (READERS, True)):
                runs = _measure_all(context, conditions, original, readers=readers, disk_busy=disk_busy)
                killed: dict[str, Kills] = {}
                if not disk_busy and size == "small":
                    killed = {mode: kill_memory(mode, readers, conditions.kills, subseed(seed, mode)) for mode in MODES}
                elif not disk_busy:
                    killed = {mode: _kill_large(context, conditions, original, runs, mode, readers) for mode in MODES}
                ratios = tuple(
                    _mean(theirs.checkpoints_ms) / _mean(ours.checkpoints_ms)
                    for ours, theirs in zip(runs[PASSIVE], runs[TRUNCATE], strict=True)
                )
                passive, truncate = (side(mode, runs[mode], killed.get(mode)) for mode in MODES)
                rounds = conditions.rounds
                done.append(Comparison(size, pages, readers, disk_busy, rounds, passive, truncate, ratios))
                yield done[-1]
            original.unlink()
    computed = [compute(mode, conditions.states, seed) for mode in MODES] if conditions.states else []
    yield from computed
    yield conclude(done, computed)


def _measure_all(
    context: SpawnContext, conditions: Conditions, original: Path, *, readers: int, disk_busy: bool
) -> dict[str, list[Samples]]:
    """Both policies in turn, `rounds` times, each on a copy of its own, so that the machine's moods hit both."""
    runs: dict[str, list[Samples]] = {mode: [] for mode in MODES}
    for number in range(conditions.rounds):
        for mode in MODES if number % 2 == 0 else reversed(MODES):
            seed = subseed(conditions.seed, "round", number)
            with tempfile.TemporaryDirectory(dir=original.parent) as made:
                path = Path(made) / "memory.db"
                shutil.copyfile(original, path)
                with company(context, path, seed, readers=readers, disk_busy=disk_busy):
                    runs[mode].append(_measure(context, path, mode, conditions, seed))
    return runs


def _measure(context: SpawnContext, path: Path, mode: str, conditions: Conditions, seed: int) -> Samples:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=measure, args=(str(path), mode, conditions.writes, conditions.autocheckpoint, seed, sender), daemon=True
    )
    process.start()
    sender.close()
    try:
        if not receiver.poll(_MEASURED_S):
            raise LabError(f"the writer did not end within {_MEASURED_S:g} s")
        return msgspec.msgpack.decode(receiver.recv_bytes(), type=Samples)
    except EOFError:
        process.join()
        raise LabError(f"the writer ended with {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _kill_large(
    context: SpawnContext,
    conditions: Conditions,
    original: Path,
    runs: dict[str, list[Samples]],
    mode: str,
    readers: int,
) -> Kills:
    window_s = 1.5 * percentile([ms for run in runs[mode] for ms in run.checkpoints_ms], 50) / 1000
    seed = subseed(conditions.seed, "large", mode, readers) >> 1
    with tempfile.TemporaryDirectory(dir=original.parent) as made:
        path = Path(made) / "memory.db"
        shutil.copyfile(original, path)
        with company(context, path, seed, readers=readers, disk_busy=False):
            return kill_on(context, path, mode, conditions.kills_large, seed, window_s=window_s)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
