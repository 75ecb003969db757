"""One autopsy: copies first, everything in processes of its own, the originals hashed before and after."""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from crashlab.diagnosis.autopsy import advice
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.report import BackupFacts, Facts, LedgerFacts, Report
from crashlab.diagnosis.autopsy.signs import abnormal, in_words, verdict_of, with_checks
from crashlab.diagnosis.child import Child
from crashlab.diagnosis.evidence import Evidence, check_main, compared, is_there
from crashlab.diagnosis.live.features import seen_features
from crashlab.errors import LabError, LimitError

__all__ = ["autopsy"]

_CHILD = Path(__file__).with_name("_child.py")
ROLES = {"main": "", "wal": "-wal", "shm": "-shm", "journal": "-journal"}
_NAME = "evidence.db"


def autopsy(
    path: str | os.PathLike[str],
    *,
    sides: Mapping[str, str | os.PathLike[str]] | None = None,
    backup: str | os.PathLike[str] | None = None,
    ledger: str | os.PathLike[str] | None = None,
    seen: str | os.PathLike[str] | None = None,
    scratch: str | os.PathLike[str] | None = None,
    seconds: float = 600.0,
    max_bytes: int = 64 << 30,
) -> Report:
    """Examine the files of a database that nobody writes, without changing a byte of them.

    `sides`: role (wal, shm, journal) -> path of a side file that does not lie beside the main file. `backup`: an older
    copy of the database. `ledger`: the acked rows, one JSON object a line. `seen`: the JSON report of a look at it
    while it was in use. `seconds` bounds the whole, `max_bytes` what is copied; three times as much room is needed
    below `scratch`.

    Raises:
        UsageError: there is no such file, or one is no regular file or can't be read, or the ledger or what was seen
            is malformed.
        LimitError: too large, or too slow. LabError: a file changed while it was copied, or a process failed.
    """
    files = _files(path, sides or {}, backup, ledger)
    looked = {} if seen is None else seen_features(seen, os.path.realpath(path))
    with tempfile.TemporaryDirectory(prefix="crashlab-autopsy-", dir=scratch) as directory:
        return _Run(str(path), files, looked, Path(directory), time.monotonic() + seconds, max_bytes).report()


def _files(
    path: str | os.PathLike[str],
    sides: Mapping[str, str | os.PathLike[str]],
    backup: str | os.PathLike[str] | None,
    ledger: str | os.PathLike[str] | None,
) -> dict[str, str]:
    """Role -> path of the files that are there."""
    main = os.path.realpath(path)  # SQLite follows links before it adds the suffixes
    named = {role: os.path.realpath(side) for role, side in sides.items()}
    if backup is not None:
        named["backup"] = os.path.realpath(backup)
    if ledger is not None:
        named["ledger"] = os.path.realpath(ledger)
    usual = {role: main + suffix for role, suffix in ROLES.items()}
    if backup is not None:
        usual |= {f"backup{suffix}": named["backup"] + suffix for suffix in ("-wal", "-journal")}
    found = {role: place for role, place in {**usual, **named}.items() if is_there(role, place, named=role in named)}
    check_main(path, main, found)
    return found


class _Run:
    def __init__(
        self,
        given: str,
        files: dict[str, str],
        looked: dict[str, str],
        directory: Path,
        deadline: float,
        max_bytes: int,
    ) -> None:
        self.given, self.files, self.looked, self.directory, self.deadline = given, files, looked, directory, deadline
        self.main = directory / _NAME
        self.notes: list[str] = []
        total = sum(os.stat(path).st_size for path in files.values())
        if total > max_bytes:
            raise LimitError(f"{given} and its side files have {total} bytes, the limit is {max_bytes}")
        free = shutil.disk_usage(directory).free
        if 3 * total > free:
            raise LimitError(
                f"{3 * total} bytes are needed for copies in {directory.parent}, {free} are free; --scratch"
            )

    def report(self) -> Report:
        before = self.child("take", files=[(role, path, self.copy_of(role)) for role, path in self.files.items()])[
            "facts"
        ]
        with self.started("ask", **self.question()) as asking:  # beside it: it takes as long
            facts = self.examine(keys=False)
            asked = self.asked(asking)
        checks = {name: tuple(lines) for name, lines in asked.get("checks", {}).items()}
        if facts.whole.scope in ("sound", "index only") and (checks.get("integrity_check") or not checks):
            facts = self.examine(keys=True)
        evidence = self.compare(before)
        unchanged = all(each.unchanged for each in evidence)
        features = with_checks({**facts.features, **asked.get("features", {}), **self.looked}, checks)
        signs = abnormal(features)
        verdict = verdict_of(features, unchanged=unchanged)
        backup = msgspec.convert(asked["backup"], BackupFacts) if "backup" in asked else None
        ranking = rank(features)
        words = [in_words(*item) for item in signs.items()]
        return Report(
            path=self.given,
            evidence=evidence,
            unchanged=unchanged,
            verdict=verdict,
            why=advice.why(verdict, words, facts, unchanged=unchanged),
            facts=facts,
            checks=checks,
            ledger=msgspec.convert(asked["ledger"], LedgerFacts) if "ledger" in asked else None,
            backup=backup,
            signs=signs,
            confidence=ranking.confidence,
            first=ranking.first,
            others=ranking.others,
            ruled_out=ranking.ruled_out,
            unexplained=ranking.unexplained,
            ask_next=advice.ask_next(
                ranking.first, features, ledger="ledger" in self.files, backup="backup" in self.files, verdict=verdict
            ),
            do_not=advice.do_not(facts, verdict),
            notes=tuple(self.notes),
        )

    def copy_of(self, role: str) -> str:
        if role in ROLES:
            return f"{self.main}{ROLES[role]}"
        return str(self.directory / role.replace("backup", "backup.db"))

    def examine(self, *, keys: bool) -> Facts:
        return msgspec.convert(self.child("examine", main=str(self.main), keys=keys), Facts)

    def question(self) -> dict[str, Any]:
        """What SQLite is asked about a private copy."""
        return {
            "main": str(self.main),
            "scratch": str(self.directory),
            "seconds": max(1.0, self.left() * 0.6),
            "ledger": self.copy_of("ledger") if "ledger" in self.files else "",
            "ledger_name": self.files.get("ledger", ""),
            "backup": self.copy_of("backup") if "backup" in self.files else "",
        }

    def asked(self, child: Child) -> dict[str, Any]:
        """SQLite's answer; nothing where it must not or cannot open it."""
        try:
            answer = child.answer(self.left())
        except (LabError, LimitError) as error:
            self.notes.append(f"SQLite gave no answer about a private copy: {error}")
            return {}
        if answer.get("refused"):
            self.notes.append(f"SQLite was not asked: {answer['refused']}")
        return answer

    def compare(self, before: dict[str, dict[str, Any]]) -> tuple[Evidence, ...]:
        """Look at the originals once more."""
        after = self.child("again", files=[(role, path, "") for role, path in self.files.items()])["facts"]
        return compared(self.files.items(), before, after)

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LimitError(f"the autopsy of {self.given} took longer than it was given; --deadline")
        return left

    def child(self, job: str, **order: Any) -> dict[str, Any]:
        """Run one job in a process of its own and return its answer."""
        with self.started(job, **order) as child:
            return child.answer(self.left())

    def started(self, job: str, **order: Any) -> Child:
        """The process of a job, under way."""
        return Child(_CHILD, job, order, what=f"the autopsy of {self.given}")
