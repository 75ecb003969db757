"""How often the true mechanism comes first: over runs of exhibits whose files were kept (`Host.play(keep=...)`).

No processes for each step and no limits, as `autopsy` has: for files that the lab itself made.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from crashlab.diagnosis.autopsy.accounts import against_ledger, own_checks, read_ledger
from crashlab.diagnosis.autopsy.backup import against_backup, compare_pages
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import verdict_of, with_checks
from crashlab.diagnosis.live.features import live_features
from crashlab.diagnosis.live.report import Look
from crashlab.gallery.exhibit import Kind
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.sqlite.check import open_evidence
from crashlab.sqlite.files import Triplet

__all__ = ["WAYS", "Judged", "judge", "kept_main", "table", "truth_of"]

WAYS = ("files", "ledger", "backup", "live", "all")
LOOKS = "looks.json"
NONE = "none"


class Judged(NamedTuple):
    """One run judged in one way. `first`: ids of the first set; `three`: those with the next three as well."""

    truth: str
    first: tuple[str, ...]
    three: tuple[str, ...]
    confidence: str
    verdict: str

    @property
    def right(self) -> bool:
        """Whether the true one is in the first set."""
        return self.truth in self.first

    @property
    def wrong_and_sure(self) -> bool:
        """Whether the true one is not in the first set, and the answer claims to be good."""
        return not self.right and self.confidence in ("shown", "likely")


def truth_of(exhibit: str) -> str:
    """What is to come first: the exhibit, or `none` for the acquitted."""
    return NONE if load_exhibits()[exhibit].kind is Kind.ACQUITTAL else exhibit


def kept_main(place: Path) -> Path:
    """The main file of a run that was kept. Raises FileNotFoundError where there is none."""
    for path in sorted(place.iterdir()):
        if path.suffix == ".db":
            return path
    raise FileNotFoundError(f"no .db in {place}")


def judge(place: Path, truth: str) -> dict[str, Judged]:
    """Judge the files that a run left: alone, with its ledger, its early copy, looks at the living, with all."""
    ledger, early = place / "ledger.ndjson", place / "backup"
    with tempfile.TemporaryDirectory(prefix="crashlab-confusion-") as scratch:
        main = Triplet.of(kept_main(place)).copy_into(scratch).main
        features = examine(Triplet.of(main), keys=True).features
        checks: dict[str, tuple[str, ...]] = {}
        rows: dict[str, str] = {}
        older: dict[str, str] = {}
        if features["main"] == "SQLite database":
            backup = None
            if early.exists():
                (Path(scratch) / "backup").mkdir()
                backup = Triplet.of(kept_main(early)).copy_into(Path(scratch) / "backup", shm=False).main
                pages, older = compare_pages(main, backup)
            with open_evidence(main) as connection:
                checks = own_checks(connection)
                if ledger.exists():
                    rows = against_ledger(connection, read_ledger(ledger))[1]
                if backup is not None:
                    older = {**older, **against_backup(connection, backup, pages)[1]}
    looks = place / LOOKS
    seen = live_features(msgspec.json.decode(looks.read_bytes(), type=list[Look])) if looks.exists() else {}
    extra = {"files": {}, "ledger": rows, "backup": older, "live": seen, "all": {**rows, **older, **seen}}
    return {way: _judged(truth, with_checks({**features, **extra[way]}, checks)) for way in WAYS}


def _judged(truth: str, features: dict[str, str]) -> Judged:
    ranking = rank(features)
    first = tuple(sorted(named.id for named in ranking.first))
    three = (*first, *(named.id for named in ranking.others[:3]))
    return Judged(truth, first, three, ranking.confidence, str(verdict_of(features, unchanged=True)))


def table(runs: Iterable[tuple[str, dict[str, Judged]]]) -> str:
    """The confusion matrix as Markdown: one line for each exhibit, with all first sets that its runs got."""
    by_exhibit: dict[str, list[dict[str, Judged]]] = {}
    for exhibit, judged in runs:
        by_exhibit.setdefault(exhibit, []).append(judged)
    sets: dict[tuple[str, ...], str] = {}
    lines = [
        "| the files are of | first set, files only | verdict | right | with the ledger | with the early copy"
        " | with looks at the living | with all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for exhibit, all_ways in by_exhibit.items():
        alone = [ways["files"] for ways in all_ways]
        firsts = _counted(_name(each.first, sets) for each in alone)
        verdicts = _counted(each.verdict for each in alone)
        sizes = " | ".join(_sizes(ways[way] for ways in all_ways) for way in WAYS[1:])
        right = sum(each.right for each in alone)
        lines.append(f"| {exhibit} | {firsts} | {verdicts} | {right}/{len(alone)} | {sizes} |")
    named = (f"- **{name}** ({len(ids)}): {', '.join(ids)}" for ids, name in sets.items())
    return "\n".join([*lines, "", *named])


def _name(first: tuple[str, ...], sets: dict[tuple[str, ...], str]) -> str:
    if len(first) <= 3:
        return ", ".join(first) or "nothing known"
    return sets.setdefault(first, f"set {len(sets) + 1}")


def _sizes(judged: Iterable[Judged]) -> str:
    """How large the first sets are, and how many of them have the true one where not all have."""
    found = list(judged)
    sizes = sorted({len(each.first) for each in found})
    span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    right = sum(each.right for each in found)
    return f"one of {span}" + ("" if right == len(found) else f", right {right}/{len(found)}")


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count})" for value, count in counts.most_common())
