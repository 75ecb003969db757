"""The comparison as it is told: a block for each condition, and what the evidence supports."""

from collections.abc import Sequence
from typing import Final

import msgspec

from crashlab.decide.statistics import format_rate, percentile
from harness.memory_policies.children import Samples
from harness.memory_policies.computed import Computed
from harness.memory_policies.kills import Kills

PASSIVE: Final = "PASSIVE"
TRUNCATE: Final = "TRUNCATE"
_MIB: Final = 1 << 20


class Side(msgspec.Struct, frozen=True):
    """One policy under one condition; times in milliseconds: p50, p95, p99, max."""

    mode: str
    checkpoints: int
    checkpoint_ms: tuple[float, float, float, float]
    append_ms: tuple[float, float, float, float]
    writes_per_s: float
    wal_mib_max: float
    blocked: int
    incomplete: int
    kills: Kills | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Both policies under one condition. `ratios`: TRUNCATE's mean checkpoint over PASSIVE's, one a round."""

    size: str
    pages: int
    readers: int
    disk_busy: bool
    rounds: int
    passive: Side
    truncate: Side
    ratios: tuple[float, ...]

    @property
    def condition(self) -> str:
        """The condition in words."""
        beside = f"{self.readers} readers" if self.readers else "no readers"
        return f"{self.size} database, {beside}{', disk busy' if self.disk_busy else ''}"

    def __str__(self) -> str:
        sides = (self.passive, self.truncate)
        n = "/".join(str(side.checkpoints) for side in sides)
        rows = [
            ("", PASSIVE, TRUNCATE),
            ("checkpoint ms  p50 p95 p99 max", *(_four(side.checkpoint_ms) for side in sides)),
            ("append ms      p50 p95 p99 max", *(_four(side.append_ms) for side in sides)),
            ("longest stall of the writer, ms", *(f"{side.append_ms[-1]:.2f}" for side in sides)),
            ("writes a second", *(f"{side.writes_per_s:.0f}" for side in sides)),
            ("WAL high-water mark, MiB", *(f"{side.wal_mib_max:.2f}" for side in sides)),
            ("checkpoints blocked (busy=1)", *(str(side.blocked) for side in sides)),
            ("checkpoints left unfinished", *(str(side.incomplete) for side in sides)),
        ]
        if self.passive.kills is not None and self.truncate.kills is not None:
            both = (self.passive.kills, self.truncate.kills)
            rows += [
                ("kills with an acked row lost", *(format_rate(each.lost, each.hit) for each in both)),
                ("kills with a damaged file or index", *(format_rate(each.malformed, each.hit) for each in both)),
                ("of these kills inside a checkpoint", *(str(each.in_checkpoint) for each in both)),
            ]
        lines = [f"{self.condition} ({self.pages} pages; {self.rounds} rounds, {n} checkpoints)"]
        lines += [f"  {name:36}{left:40}{right}".rstrip() for name, left, right in rows]
        low, middle, high = min(self.ratios), percentile(self.ratios, 50), max(self.ratios)
        lines.append(f"  mean checkpoint, TRUNCATE / PASSIVE: {middle:.2f} (median of rounds, {low:.2f} to {high:.2f})")
        return "\n".join(lines) + "\n"


class Conclusion(msgspec.Struct, frozen=True):
    """What the evidence supports."""

    text: str

    def __str__(self) -> str:
        return self.text


def side(mode: str, runs: Sequence[Samples], kills: Kills | None) -> Side:
    """Put the rounds of one policy together."""
    checkpoints = [ms for run in runs for ms in run.checkpoints_ms]
    appends = [ms for run in runs for ms in run.appends_ms]
    return Side(
        mode,
        len(checkpoints),
        _quantiles(checkpoints),
        _quantiles(appends),
        len(appends) / sum(run.seconds for run in runs),
        max(run.wal_bytes_max for run in runs) / _MIB,
        sum(run.blocked for run in runs),
        sum(run.incomplete for run in runs),
        kills,
    )


def conclude(comparisons: Sequence[Comparison], computed: Sequence[Computed] = ()) -> Conclusion:
    """Say in plain words what was seen, and no more than that."""
    totals = {mode: _total([getattr(each, mode.lower()).kills for each in comparisons]) for mode in (PASSIVE, TRUNCATE)}
    said = []
    for what, count in (("lost an acked row", "lost"), ("damaged the file or an index", "malformed")):
        rates = [f"{mode} {format_rate(getattr(kills, count), kills.hit)}" for mode, kills in totals.items()]
        clean = not any(getattr(kills, count) for kills in totals.values())
        said.append(f"{'Neither policy' if clean else 'Kills'} {what}: {', '.join(rates)}.")
    if any(kills.other for kills in totals.values()):
        said.append(f"Other invariants were violated: {', '.join(f'{m} {k.other}' for m, k in totals.items())}.")
    slower = [each.condition for each in comparisons if min(each.ratios) > 1]
    faster = [each.condition for each in comparisons if max(each.ratios) < 1]
    open_ = [each.condition for each in comparisons if min(each.ratios) <= 1 <= max(each.ratios)]
    for words, conditions in (
        ("TRUNCATE's checkpoints took longer in every round with", slower),
        ("TRUNCATE's checkpoints took less in every round with", faster),
        ("The rounds do not agree on which took longer with", open_),
    ):
        if conditions:
            said.append(f"{words}: {'; '.join(conditions)}.")
    worst = max(comparisons, key=lambda each: each.truncate.append_ms[-1])
    said.append(
        f"The longest stall of a writer was {worst.truncate.append_ms[-1]:.0f} ms under TRUNCATE ({worst.condition}), "
        f"{max(each.passive.append_ms[-1] for each in comparisons):.0f} ms under PASSIVE."
    )
    for mode in (PASSIVE, TRUNCATE):
        sides = [getattr(each, mode.lower()) for each in comparisons]
        said.append(
            f"Under {mode} {sum(each.incomplete + each.blocked for each in sides)} of "
            f"{sum(each.checkpoints for each in sides)} checkpoints were not finished, and the WAL grew to "
            f"{max(each.wal_mib_max for each in sides):.1f} MiB."
        )
    clean = not any(kills.lost or kills.malformed or kills.other for kills in totals.values())
    if clean and not any(each.failed for each in computed):
        classes = "process death and power loss at FULL" if computed else "process death"
        said.append(
            "So the evidence supports no claim that TRUNCATE loses or damages what PASSIVE would not: the choice is "
            f"between waiting for readers and a WAL that grows. This holds for {classes}, "
            "with one writer and nobody but SQLite at the files."
        )
    return Conclusion(" ".join(said))


def _total(kills: Sequence[Kills | None]) -> Kills:
    there = [each for each in kills if each is not None]
    return Kills(*(sum(getattr(each, name) for each in there) for name in Kills.__struct_fields__))


def _quantiles(values: Sequence[float]) -> tuple[float, float, float, float]:
    return percentile(values, 50), percentile(values, 95), percentile(values, 99), max(values)


def _four(values: tuple[float, float, float, float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)
