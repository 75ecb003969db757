"""One salvage: originals copied and hashed, everything done in processes of its own, the result linked into place."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crashlab.diagnosis.child import ask_child
from crashlab.diagnosis.evidence import Evidence, check_main, compared, is_there
from crashlab.diagnosis.salvage.report import Choice, Image, Listing, Mended, Report, Table
from crashlab.diagnosis.salvage.text import text
from crashlab.errors import LabError, LimitError, UsageError

__all__ = ["LEDGER", "list_choices", "salvage"]

_CHILD = Path(__file__).with_name("_child.py")
LEDGER = ".ledger"
"""What the ledger's names add to the new database's, before `.json` and `.txt`."""
_SIDES = ("-wal", "-shm", "-journal")
_SLACK = 64 << 20
PathLike = str | os.PathLike[str]


def salvage(
    path: PathLike,
    new: PathLike,
    *,
    wals: Sequence[PathLike] = (),
    shm: PathLike | None = None,
    at: str = "",
    merge: Sequence[str] = (),
    renumber: bool = False,
    orphans: bool = False,
    method: str = "auto",
    mend: bool = True,
    scratch: PathLike | None = None,
    seconds: float = 600.0,
    bytes_max: int = 64 << 30,
    pages_max: int = 1 << 24,
    rows_max: int = 1 << 28,
) -> Report:
    """Write the best database that the files of `path` can give to `new`, and the ledger beside it.

    `wals`: WALs beside the one that lies there. `at`: a choice of `list_choices`; empty for the default. `merge`:
    choices whose rows are added, or `all`. `method`: auto, pages or rows. `mend`: make broken frames right where their
    checksums prove how.

    Raises:
        UsageError: no such file, `new` or a ledger exists, or no such choice.
        LimitError: too large or too slow. LabError: a file changed meanwhile, or a process failed. Nothing is left.
    """
    target = Path(new)
    ledgers = [target.with_name(f"{target.name}{LEDGER}.{form}") for form in ("json", "txt")]
    for each in (target, *(Path(f"{target}{side}") for side in _SIDES), *ledgers):
        if os.path.lexists(each):
            raise UsageError(f"{each} exists and is never overwritten; name a new file")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no directory; {target.name} is to be made in it")
    with _started(path, wals, shm, scratch, seconds, bytes_max) as run, _beside(target) as directory:
        order = {"at": at, "merge": list(merge), "renumber": renumber, "orphans": orphans, "method": method}
        limits = {"pages_max": pages_max, "rows_max": rows_max, "size_max": 4 * run.total + _SLACK}
        made = directory / "new.db"
        answer = run.child("make", **run.copies(mend=mend), **order, **limits, new=str(made), seconds=run.left())
        evidence = run.compare()
        report = _report(str(path), str(target), evidence, answer, run.notes)
        if not report.unchanged:
            raise LabError(f"{path} changed while it was read: stop what writes it, or copy it first; nothing was made")
        try:
            _write(ledgers[0], msgspec.json.format(msgspec.json.encode(report), indent=1))
            _write(ledgers[1], text(report).encode("utf-8", "backslashreplace"))
            _put(made, target)
        except OSError as error:
            for each in ledgers:
                each.unlink(missing_ok=True)
            raise LabError(f"can't write {target}: {error.strerror or error}") from error
    return report


def list_choices(
    path: PathLike,
    *,
    wals: Sequence[PathLike] = (),
    mend: bool = True,
    scratch: PathLike | None = None,
    seconds: float = 600.0,
    bytes_max: int = 64 << 30,
) -> Listing:
    """Say which databases the files of `path` can give. Arguments and errors are those of `salvage`."""
    with _started(path, wals, None, scratch, seconds, bytes_max) as run:
        answer = run.child("list", **run.copies(mend=mend))
        evidence = run.compare()
    return Listing(
        path=str(path),
        evidence=evidence,
        unchanged=all(each.unchanged for each in evidence),
        choices=msgspec.convert(answer["choices"], tuple[Choice, ...]),
        hidden=answer["hidden"],
        chosen=answer["chosen"],
        rule=answer["rule"],
        mended=msgspec.convert(answer["mended"], tuple[Mended, ...]),
    )


def _report(
    path: str, new: str, evidence: tuple[Evidence, ...], answer: dict[str, Any], notes: Sequence[str]
) -> Report:
    made = answer["made"]
    return Report(
        path=path,
        new=new,
        sha256=answer["sha256"],
        bytes=answer["bytes"],
        evidence=evidence,
        unchanged=all(each.unchanged for each in evidence),
        source=msgspec.convert(answer["source"], Choice),
        rule=answer["rule"],
        alternatives=msgspec.convert(answer["alternatives"], tuple[Choice, ...]),
        method=made["method"],
        why_method=made["why_method"],
        mended=msgspec.convert(answer["mended"], tuple[Mended, ...]),
        images=msgspec.convert(answer["images"], tuple[Image, ...]),
        tables=msgspec.convert(made["tables"], tuple[Table, ...]),
        merged=tuple(answer["merged"]),
        missing=tuple(made["missing"]),
        notes=(*notes, *answer["problems"], *made["notes"]),
        checks={name: tuple(lines) for name, lines in made["checks"].items()},
    )


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A directory on the new file's own file system, so that the last step is a link."""
    try:
        directory = tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)
    except OSError as error:
        raise UsageError(f"can't write into {target.parent}: {error.strerror}") from None
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put(made: Path, target: Path) -> None:
    """Sync the file and give it its name, which must be free: a link fails where a rename would overwrite."""
    descriptor = os.open(made, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(made, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with open(made, "rb") as reader, open(target, "xb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())


@contextmanager
def _started(
    path: PathLike,
    wals: Sequence[PathLike],
    shm: PathLike | None,
    scratch: PathLike | None,
    seconds: float,
    bytes_max: int,
) -> "Iterator[_Run]":
    files = _files(path, wals, shm)
    with tempfile.TemporaryDirectory(prefix="crashlab-salvage-", dir=scratch) as directory:
        run = _Run(str(path), files, Path(directory), time.monotonic() + seconds, bytes_max)
        run.take()
        yield run


def _files(path: PathLike, wals: Sequence[PathLike], shm: PathLike | None) -> list[tuple[str, str]]:
    """(role, path) of the files that are there; WALs in their order, the one beside the main file first."""
    main = os.path.realpath(path)
    named = [("wal", os.path.realpath(each)) for each in wals]
    if shm is not None:
        named.append(("shm", os.path.realpath(shm)))
    usual = [("main", main), ("wal", f"{main}-wal"), ("journal", f"{main}-journal")]
    usual += [] if shm is not None else [("shm", f"{main}-shm")]
    found: list[tuple[str, str]] = []
    for role, place in (*usual, *named):
        if is_there(role, place, named=(role, place) in named) and (role, place) not in found:
            found.append((role, place))
    check_main(path, main, [role for role, _ in found])
    return found


class _Run:
    """The copies of one salvage, and the processes that work on them."""

    def __init__(
        self, given: str, files: list[tuple[str, str]], directory: Path, deadline: float, bytes_max: int
    ) -> None:
        self.given, self.directory, self.deadline = given, directory, deadline
        self.files = [(f"{role}{at or ''}" if role == "wal" else role, path) for at, (role, path) in _numbered(files)]
        self.notes: list[str] = []
        self.total = sum(os.stat(path).st_size for _, path in files)
        if self.total > bytes_max:
            raise LimitError(f"{given} and its side files have {self.total} bytes, the limit is {bytes_max}")
        if 2 * self.total > shutil.disk_usage(directory).free:
            raise LimitError(f"{2 * self.total} bytes are needed for copies in {directory.parent}; --scratch")
        self.before: dict[str, dict[str, Any]] = {}

    def copy_of(self, role: str) -> str:
        return str(self.directory / role)

    def take(self) -> None:
        files = [(role, path, self.copy_of(role)) for role, path in self.files]
        self.before = self.child("take", files=files)["facts"]

    def copies(self, *, mend: bool) -> dict[str, Any]:
        """The part of an order that names the copies."""
        roles = {role: path for role, path in self.files if role in self.before}
        wals = [(path, self.copy_of(role)) for role, path in roles.items() if role.startswith("wal")]
        names = [os.path.basename(path) for path, _ in wals]
        shown = [path if names.count(name) > 1 else name for name, (path, _) in zip(names, wals, strict=True)]
        return {
            "main": self.copy_of("main") if "main" in roles else "",
            "journal": self.copy_of("journal") if "journal" in roles else "",
            "wals": [(name, copy) for name, (_, copy) in zip(shown, wals, strict=True)],
            "mend": mend,
        }

    def compare(self) -> tuple[Evidence, ...]:
        """Look at the originals once more."""
        after = self.child("again", files=[(role, path, "") for role, path in self.files])["facts"]
        return compared(self.files, self.before, after)

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LimitError(f"the salvage of {self.given} took longer than it was given; --deadline")
        return left

    def child(self, job: str, **order: Any) -> dict[str, Any]:
        """Run one job in a process of its own and return its answer."""
        return ask_child(_CHILD, job, order, what=f"the salvage of {self.given}", seconds=self.left())


def _numbered(files: list[tuple[str, str]]) -> Iterator[tuple[int, tuple[str, str]]]:
    wals = 0
    for role, path in files:
        yield wals, (role, path)
        wals += role == "wal"
