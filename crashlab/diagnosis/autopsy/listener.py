"""A listener that gives failing cases of a campaign an autopsy: how the rows went, not only that they are gone.

The engine knows nothing of it. Cases are remembered as they come and examined when their campaign has ended, so that no
trial waits for it. An interrupted campaign gets none.
"""

import os
import time
from pathlib import Path

import msgspec

from crashlab.diagnosis.autopsy.report import Report
from crashlab.diagnosis.autopsy.take import autopsy
from crashlab.diagnosis.autopsy.text import text
from crashlab.errors import CrashlabError
from crashlab.model.event import Event, EventKind
from crashlab.model.finding import Verdict

__all__ = ["JSON", "TEXT", "CaseAutopsies", "autopsy_case"]

JSON, TEXT = "autopsy.json", "autopsy.txt"
CASES_MAX = 1
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
        for directory in self._waiting:
            if self._left <= 0:
                return
            began = time.monotonic()
            autopsy_case(directory, seconds=min(self._left, SECONDS_EACH))
            self._left -= time.monotonic() - began


def autopsy_case(directory: Path, *, seconds: float = SECONDS_EACH) -> Report | None:
    """Examine a case directory's evidence with its ledger; None where that failed, with the reason in `autopsy.txt`."""
    ledger = directory / "ledger.ndjson"
    try:
        main = _main_of(directory / "evidence")
        report = autopsy(main, ledger=ledger if ledger.exists() and ledger.stat().st_size else None, seconds=seconds)
        _write(directory / JSON, msgspec.json.format(msgspec.json.encode(report), indent=2))
        _write(directory / TEXT, text(report).encode(errors="backslashreplace"))
    except (CrashlabError, OSError) as error:
        try:
            _write(directory / TEXT, f"no autopsy: {error}\n".encode(errors="backslashreplace"))
        except OSError:
            return None
        return None
    return report


def _main_of(evidence: Path) -> Path:
    """The database in an evidence directory: the one name that the others extend."""
    names = sorted(path.name for path in evidence.iterdir() if path.is_file())
    mains = [name for name in names if not name.endswith(("-wal", "-shm", "-journal"))]
    if len(mains) != 1:
        raise CrashlabError(f"{evidence} has {len(mains)} files that could be the database, expected 1")
    return evidence / mains[0]


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
