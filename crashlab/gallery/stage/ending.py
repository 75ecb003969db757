"""The end of a run: the files as they lie are copied, then the next opener says what it finds.

The features from bytes alone (`main`, `wal`, `shm`, `journal`) come from the copy, before any SQLite has
touched anything: the first opening recovers, checkpoints and deletes the WAL.
"""

from pathlib import Path
from typing import Any

from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.driver import Problem
from crashlab.sqlite.files import Triplet
from crashlab.sqlite.header import read_header
from crashlab.sqlite.shm import WalIndex, parse_shm
from crashlab.sqlite.wal import ChainEnd, Wal, parse_wal

__all__ = ["file_features", "next_opener"]

LINES_MAX = 5


def file_features(evidence: Triplet) -> dict[str, str]:
    """Describe files that nobody has open, from their bytes alone.

    `main`: missing, or the kind of file that its header says (`FileKind`). `main.pages`: short, where there are
    fewer than the header promises, else whole. `main.mode`: wal or rollback, as the header says, or none.
    `wal`: missing, empty, header (no valid one), no-commit, commits,
    and `broken` where frames of the same round lie behind the end of the chain. `wal.end`: why the chain ended
    (`ChainEnd`), or none. `shm`: missing, or index, impossible, unusable. `shm.frames`: the committed frames that
    the index knows, against those in the WAL: equal, behind, ahead, other (another round's), or none to compare.
    `journal`: missing or present.
    """
    features = {}
    main = _bytes(evidence.main)
    report = read_header((main or b"")[:512], len(main or b""))
    features["main"] = "missing" if main is None else str(report.kind)
    features["main.pages"] = "short" if report.missing_pages else "whole"
    features["main.mode"] = "none"
    if report.header is not None:
        features["main.mode"] = "wal" if report.header.wal_mode else "rollback"
    wal = _bytes(evidence.wal)
    parsed = None if wal is None else parse_wal(wal)
    features["wal.end"] = "none" if parsed is None else str(parsed.end)
    if parsed is None:
        features["wal"] = "missing"
    else:
        if parsed.end is ChainEnd.EMPTY:
            features["wal"] = "empty"
        elif parsed.end is ChainEnd.HEADER:
            features["wal"] = "header"
        elif any(run.current for run in parsed.tail):
            features["wal"] = "broken"
        else:
            features["wal"] = "commits" if parsed.committed else "no-commit"
    shm = _bytes(evidence.shm)
    if shm is None:
        features["shm"] = "missing"
        index = None
    else:
        index = parse_shm(shm)
        features["shm"] = "impossible" if index.impossible else ("index" if index.header else "unusable")
    features["shm.frames"] = _index_against(parsed, index)
    features["journal"] = "present" if _bytes(evidence.journal) else "missing"
    return features


def _index_against(wal: Wal | None, index: WalIndex | None) -> str:
    known = index.header if index is not None else None
    if wal is None or wal.header is None or known is None:
        return "none"
    if known.salts != wal.header.salts:
        return "other"
    if known.max_frame == wal.committed:
        return "equal"
    return "behind" if known.max_frame < wal.committed else "ahead"


def next_opener(actor: Self, path: str, rows: bool) -> dict[str, Any]:
    """Open the database as the next program would and report: runs in an actor's process.

    Returns ``error`` (a SQLite code's name or "none"), ``rows`` (key -> value), ``quick_check`` and
    ``integrity_check`` (lines; an error is one line).
    """
    report: dict[str, Any] = {"error": "none", "rows": {}, "quick_check": [], "integrity_check": []}
    try:
        connection = actor.driver.connect(path)
    except Problem as problem:
        return {**report, "error": problem.name, "quick_check": [str(problem)], "integrity_check": [str(problem)]}
    try:
        if rows:
            found = actor.driver.execute(connection, "SELECT who, v FROM t NOT INDEXED")
            report["rows"] = dict(found)
        else:
            actor.driver.execute(connection, "SELECT count(*) FROM sqlite_master")
    except Problem as problem:
        report["error"] = problem.name
    for check in ("quick_check", "integrity_check"):
        try:
            lines = actor.driver.execute(connection, f"PRAGMA {check}({LINES_MAX})")
            report[check] = [line for (text,) in lines for line in str(text).splitlines()][:LINES_MAX]
        except Problem as problem:
            report[check] = [str(problem)]
    actor.driver.close(connection)
    return report


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
