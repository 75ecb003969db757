"""Case directories on their way from a worker to the lab."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from crashlab.engine.remote.order import CaseFile
from crashlab.errors import LabError
from crashlab.model.finding import Finding
from crashlab.model.outcome import Outcome

CASE_BYTES_MAX = 64 << 20
"""What the case directories of one trial may hold together on their way; larger ones stay behind."""

FILES_MAX = 2000
NAMES_MAX = 10_000


def case_directories(outcome: Outcome) -> Iterator[str]:
    """The case directories that an outcome names: its own, and those of the states of a batch."""
    named = [outcome.case_dir, *(str(finding.evidence.get("case_dir", "")) for finding in outcome.findings)]
    return iter(dict.fromkeys(filter(None, named)))


def rename(outcome: Outcome, name: Callable[[str], str]) -> Outcome:
    """Return the outcome with `name(directory)` in place of each case directory."""

    def moved(finding: Finding) -> Finding:
        if not finding.evidence.get("case_dir"):
            return finding
        at = name(str(finding.evidence["case_dir"]))
        return msgspec.structs.replace(finding, evidence={**finding.evidence, "case_dir": at})

    return msgspec.structs.replace(
        outcome,
        case_dir=name(outcome.case_dir) if outcome.case_dir else "",
        findings=tuple(map(moved, outcome.findings)),
    )


def pack(outcome: Outcome) -> tuple[Outcome, tuple[CaseFile, ...]]:
    """Return the outcome with its case directories by their bare names, and their files; remove them here.

    Directories beyond the cap are left out, and the outcome names none in their place.
    """
    files: list[CaseFile] = []
    names: dict[str, str] = {}
    size = 0
    for directory in case_directories(outcome):
        found = list(_files(Path(directory)))
        size += sum(path.stat().st_size for path, _ in found)
        if size <= CASE_BYTES_MAX and len(files) + len(found) <= FILES_MAX:
            files += [CaseFile(name, path.read_bytes()) for path, name in found]
            names[directory] = Path(directory).name
        shutil.rmtree(directory, ignore_errors=True)
    return rename(outcome, lambda directory: names.get(directory, "")), tuple(files)


def _files(directory: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, f"{directory.name}/{path.relative_to(directory).as_posix()}"


def unpack(outcome: Outcome, files: Iterable[CaseFile], root: Path | None) -> Outcome:
    """Write case directories below `root` and return the outcome that names them; an existing one is kept as it is.

    Raises:
        LabError: a name that leads out of `root`, or no room.
    """
    groups: dict[str, list[tuple[PurePosixPath, bytes]]] = {}
    for file in files:
        name = PurePosixPath(file.name)
        if name.is_absolute() or len(name.parts) < 2 or ".." in name.parts or "\\" in file.name or ":" in file.name:
            raise LabError(f"a worker sent a file of the name {file.name[:200]!r}, which is none of a case directory")
        groups.setdefault(name.parts[0], []).append((PurePosixPath(*name.parts[1:]), file.data))
    placed: dict[str, str] = {}
    if root is not None:
        for directory, members in groups.items():
            try:
                placed[directory] = str(_write(root, directory, members))
            except OSError as error:
                raise LabError(f"a worker's case could not be kept in {root}: {error}") from None
    return rename(outcome, lambda directory: placed.get(directory, ""))


def _write(root: Path, name: str, members: list[tuple[PurePosixPath, bytes]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    making = root / f".{name}.tmp{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    for relative, data in members:
        target = making / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for number in range(NAMES_MAX):
        final = root / (f"{name}-{number}" if number else name)
        if not final.exists():
            making.rename(final)
            return final
    raise OSError(f"{NAMES_MAX} directories of the name {name}")
