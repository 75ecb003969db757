"""A listener that gives failing cases of a campaign an autopsy: how the rows went, not only that they are gone.

A program's case holds its whole working directory: each database there gets one, and that of the case comes first.

The engine knows nothing of it. Cases are remembered as they come and examined when their campaign has ended, so that no
trial waits for it. An interrupted campaign gets none.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from crashlab.diagnosis.autopsy.report import Report
from crashlab.diagnosis.autopsy.take import autopsy
from crashlab.diagnosis.autopsy.text import text
from crashlab.errors import CrashlabError
from crashlab.model.event import Event, EventKind
from crashlab.model.finding import Verdict

__all__ = ["JSON", "TEXT", "CaseAutopsies", "autopsy_case", "autopsy_cases"]

JSON, TEXT = "autopsy.json", "autopsy.txt"
CASES_MAX = 1
DATABASES_MAX = 4
SECONDS_EACH = 20.0
SECONDS_TOTAL = 60.0


class CaseAutopsies:
    """Examines the first `cases_max` cases of each finding, for at most `seconds` in all.

    Writes `autopsy.json` and `autopsy.txt` into the case directory; an autopsy that failed leaves its reason in the
    latter. Never raises: it is an extra, and the finding stands without it.
    """

    def __init__(self, *, cases_max: int = CASES_MAX, seconds: float = SECONDS_TOTAL) -> None:
        self._cases_max = cases_max
        self._left = seconds
        self._waiting: list[Path] = []
        self._seen: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Remember a failing case, or examine those that wait."""
        if event.kind == EventKind.TRIAL_FINISHED:
            self._remember(event.data.get("outcome", {}))
        elif event.kind == EventKind.CAMPAIGN_FINISHED:
            if event.data.get("stop") != "interrupted":
                self._examine()
            self._waiting.clear()

    def _remember(self, outcome: dict[str, object]) -> None:
        directory, findings = outcome.get("case_dir"), outcome.get("findings")
        if outcome.get("verdict") != Verdict.FAIL or not isinstance(directory, str) or not directory:
            return
        names = [str(finding["identity"]) for finding in findings] if isinstance(findings, list | tuple) else []
        fresh = [name for name in names if self._seen.get(name, 0) < self._cases_max]
        for name in fresh:
            self._seen[name] = self._seen.get(name, 0) + 1
        if fresh:
            self._waiting.append(Path(directory))

    def _examine(self) -> None:
        self._left = autopsy_cases(self._waiting, seconds=self._left)


def autopsy_cases(directories: Iterable[Path], *, seconds: float = SECONDS_TOTAL) -> float:
    """Examine cases one after the other while there is time; return the seconds that are left."""
    for directory in directories:
        if seconds <= 0:
            break
        began = time.monotonic()
        autopsy_case(directory, seconds=min(seconds, SECONDS_EACH))
        seconds -= time.monotonic() - began
    return seconds


def autopsy_case(directory: Path, *, seconds: float = SECONDS_EACH) -> Report | None:
    """Examine the databases of a case directory's evidence, with its ledger if it has one; return the first's report.

    `autopsy.txt` tells of all of them, and why there is none of one; the second's data is in `autopsy-2.json`.
    """
    ledger = directory / "ledger.ndjson"
    reports: list[Report] = []
    texts: list[str] = []
    try:
        mains = _mains_of(directory)
        for number, main in enumerate(mains, 1):
            try:
                known = ledger if ledger.exists() and ledger.stat().st_size else None
                report = autopsy(main, ledger=known, seconds=seconds / len(mains))
            except CrashlabError as error:
                texts.append(f"no autopsy: {error}\n")
                continue
            reports.append(report)
            texts.append(text(report))
            name = JSON if number == 1 else f"autopsy-{number}.json"
            _write(directory / name, msgspec.json.format(msgspec.json.encode(report), indent=2))
    except (CrashlabError, OSError) as error:
        texts.append(f"no autopsy: {error}\n")
    with suppress(OSError):
        _write(directory / TEXT, "\n".join(texts).encode(errors="backslashreplace"))
    return reports[0] if reports else None


def _mains_of(directory: Path) -> list[Path]:
    """The databases of a case: the one name in its evidence that the others extend, or those of a program."""
    from crashlab.engine.program.case import PROGRAM_CASE, database_of
    from crashlab.engine.program.kills.case import KILLED_CASE
    from crashlab.engine.program.kills.read import databases_in

    evidence = directory / "evidence"
    wanted = database_of(directory) if (directory / PROGRAM_CASE).exists() else ""
    if wanted or (directory / KILLED_CASE).exists():
        names = sorted(databases_in(evidence), key=lambda name: name != wanted)
        if not names:
            raise CrashlabError(f"{evidence} has no database")
        return [evidence / name for name in names[:DATABASES_MAX]]
    names = sorted(path.name for path in evidence.iterdir() if path.is_file())
    mains = [name for name in names if not name.endswith(("-wal", "-shm", "-journal"))]
    if len(mains) != 1:
        raise CrashlabError(f"{evidence} has {len(mains)} files that could be the database, expected 1")
    return [evidence / mains[0]]


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
