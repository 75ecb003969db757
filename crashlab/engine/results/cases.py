"""The case directories of a run: cleared of what a kill of the lab left half written, and told in text."""

import contextlib
import shutil
from pathlib import Path

from crashlab.engine.casedir import CASE_FILE, TRACE
from crashlab.engine.timeline import TIMELINE, annotate_case
from crashlab.errors import CrashlabError

CASES = "cases"


def clear_unfinished(directory: Path) -> None:
    """Remove case directories that a killed lab has not finished: `case.json` is what is written last.

    Only to be called by who holds the run's records.
    """
    for case in _cases(directory):
        if case.name.startswith(".") or not (case / CASE_FILE).exists():
            shutil.rmtree(case, ignore_errors=True)


def annotate_cases(directory: Path) -> None:
    """Tell each case of the trace road in text where that has not been done."""
    for case in _cases(directory):
        if (case / TRACE).is_dir() and not (case / TIMELINE).exists():
            with contextlib.suppress(CrashlabError, OSError):  # the case stands without its text
                annotate_case(case)


def _cases(directory: Path) -> list[Path]:
    root = directory / CASES
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
