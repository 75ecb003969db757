"""The tour: which known mechanisms leave S38's picture, a malformed file after a console close, and which cannot.

Each candidate is an exhibit, played for real. What it did to the file is read off the run, not off its title.
"""

from dataclasses import dataclass

import msgspec

from crashlab.errors import LabError
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.repeat import play_all
from crashlab.gallery.telling import Result, Telling

__all__ = ["CANDIDATES", "Candidate", "TourRow", "tour"]

_MALFORMED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One suspect: the exhibit, and what the close of a console has to do with it."""

    exhibit: str
    role_of_the_close: str


CANDIDATES = (
    Candidate("i-close", "the close alone, nothing else"),
    Candidate("i-kill", "the close as a kill, at every synchronous"),
    Candidate("i-kill-inside", "the close as a kill in the middle of a write, of a commit or a checkpoint"),
    Candidate("i-normal", "the close as a kill, at synchronous=NORMAL"),
    Candidate("c1-s38", "a second program works over incoherent shared memory (SMB); the close comes meanwhile"),
    Candidate("a1-corrupt", "not needed: a stray close() of the file; an orderly end does the damage"),
    Candidate("a3-malformed", "not needed: a holder of a deleted WAL ends in an orderly way"),
    Candidate("b1-torn", "not needed: two connections on an affected SQLite"),
    Candidate("d2", "needed: it leaves the -wal that a restored main file then meets"),
    Candidate("c2-malformed", "needed: it leaves the -wal that a sync folder pairs with another main file"),
    Candidate("d3", "needed: it leaves the -wal that somebody deletes"),
    Candidate("d1", "none: somebody copied the main file alone"),
    Candidate("e1", "none: the power went, not the console"),
)


class TourRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One candidate's runs: in how many the file was malformed, in how many acked rows were gone."""

    exhibit: str
    title: str
    role_of_the_close: str
    runs: int
    malformed: int
    lost: int
    not_run: str = ""


def tour(seed: int, runs: int, *, jobs: int = 2, deadline_s: float) -> tuple[TourRow, ...]:
    """Play every candidate `runs` times and say what each did.

    Raises:
        LabError: the gallery has no such exhibit.
    """
    exhibits = load_exhibits()
    missing = [candidate.exhibit for candidate in CANDIDATES if candidate.exhibit not in exhibits]
    if missing:
        raise LabError(f"the tour names exhibits that are not in the gallery: {', '.join(missing)}")
    gallery = play_all(
        [exhibits[candidate.exhibit] for candidate in CANDIDATES],
        seed=seed,
        runs=runs,
        jobs=jobs,
        deadline_s=deadline_s,
    )
    rows = []
    for candidate, tally in zip(CANDIDATES, gallery.tallies, strict=True):
        played = [run for run in tally.runs if run.result in (Result.AS_EXPECTED, Result.UNEXPECTED)]
        broken = next((run.why for run in tally.runs if run not in played), "")
        rows.append(
            TourRow(
                tally.exhibit,
                tally.title,
                candidate.role_of_the_close,
                len(played),
                sum(map(_malformed, played)),
                sum(bool(run.rows.lost) for run in played),
                broken or gallery.stopped if len(played) < runs else "",
            )
        )
    return tuple(rows)


def _malformed(run: Telling) -> bool:
    return run.features.get("open.error") in _MALFORMED or run.features.get("quick_check") == "fails"
