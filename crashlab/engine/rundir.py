"""A run's own directory for records and failing cases; numbered, never overwritten."""

import contextlib
import os
from pathlib import Path

from crashlab.errors import UsageError

RUNS_MAX = 100_000


def make_run_directory(results: Path, name: str) -> Path:
    """Create and return `results/runs/NAME-0001` or the next free number.

    Raises:
        UsageError: the results directory cannot be made or written.
    """
    runs = results / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        taken = {entry.name for entry in runs.iterdir()}
        for number in range(1, RUNS_MAX):
            if f"{name}-{number:04d}" in taken:
                continue
            directory = runs / f"{name}-{number:04d}"
            try:
                directory.mkdir()
            except FileExistsError:
                continue
            if not os.access(directory, os.W_OK):
                raise PermissionError(13, "Permission denied")
            return directory
    except OSError as error:
        raise UsageError(
            f"results directory {results} cannot be written ({error.strerror}); choose another with --results DIR"
        ) from None
    raise UsageError(f"{runs}: {RUNS_MAX} runs are kept already; remove some")


def drop_run_directory(directory: Path, *leftovers: str) -> None:
    """Remove a run's directory that came to nothing, with the named files and the directories it was made in.

    Anything else in them stays, and so do they.
    """
    with contextlib.suppress(OSError):
        for name in leftovers:
            (directory / name).unlink(missing_ok=True)
        for emptied in (directory, directory.parent, directory.parent.parent):
            emptied.rmdir()
