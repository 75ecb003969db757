"""Preflight: examine an existing, possibly live, database without changing a byte of it.

The rules, and why:

* Only child processes touch the files, and a process that reads raw bytes has no connection to them (a raw
close
  would cancel the connection's locks); this process only asks ``stat``.
* A consistent copy is taken through the backup API on a ``mode=ro`` connection, and all checks run on the
copy. A
  read-write connection would recover a crashed database, checkpoint it and delete its WAL.
* ``mode=ro`` isn't enough where ``-wal`` or ``-shm`` is missing and WAL is used: SQLite then creates the
missing file
  and leaves it (an empty ``-wal``, a ``-shm``), or fails in a directory it can't write [SQLite 3.40.1]. A
  live WAL connection always has both files (but for ``locking_mode=EXCLUSIVE``, which keeps its index in
  memory), so there the files are copied raw instead, by a process that has nothing open, until two readings
  and the times before and after agree. The same is the way out when SQLite can't open the original
  read-only.
* A hot journal is reported, never rolled back: with a ``-journal`` whose first byte isn't zero and which
doesn't
  change while we watch, the original isn't opened at all. (A ``mode=ro`` connection would fail there with
  "attempt to write a readonly database" and leave both files as they are [SQLite 3.40.1].) If it does
  change, a writer lives; its lock makes the journal not hot, and readers may read.
* Size, modification time, inode and hash of main, ``-wal`` and ``-journal`` are taken before the first
opening and after
  the last closing. Nothing here changes them, so a difference means that somebody else wrote meanwhile:
  ``changed`` names the files, and the report says "changed by somebody else", never "unchanged". ``-shm``
  is left out: any reader writes its read mark there.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crashlab.errors import LabError, LimitError, UsageError
from crashlab.sqlite.check import foreign_key_check, integrity_check, open_private, quick_check
from crashlab.sqlite.header import DatabaseHeader, FileKind, read_header
from crashlab.sqlite.wal import Wal, parse_wal

__all__ = ["Preflight", "WalFacts", "preflight"]

_CHILD = Path(__file__).with_name("_preflight_child.py")
_LOOKS = 4  # at a journal, to see whether its writer lives
_PAUSE = 0.15  # seconds between them


class WalFacts(NamedTuple):
    """What the ``-wal`` held before anything was opened, in frames; ``end`` and ``problem`` as in ``Wal``."""

    size: int
    problem: str
    end: str
    committed: int
    uncommitted: int
    commits: int
    earlier_frames: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found; plain data.

    ``method``: ``backup``, ``copy`` or ``none`` (a hot journal: nothing was opened or checked).
    ``hot_journal``: what was found of one, else empty. ``quick``, ``integrity``, ``foreign_keys``: problem
    lines found on the copy, empty when sound. ``changed``: files that somebody else changed meanwhile.
    ``left_behind``: side files that were not there before; always empty unless somebody else opened the
    database meanwhile. ``notes``: for people. ``main_pages`` counts what the main file holds; ``header`` is
    the copy's where one was made. ``seconds`` is elapsed time.
    """

    path: str
    method: str
    header: DatabaseHeader | None
    main_pages: int
    sizes: dict[str, int]
    wal: WalFacts | None
    hot_journal: str
    quick: tuple[str, ...]
    integrity: tuple[str, ...]
    foreign_keys: tuple[str, ...]
    changed: tuple[str, ...]
    left_behind: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def checked(self) -> bool:
        """Whether the checks ran; without, nothing is known of the contents."""
        return self.method != "none"

    @property
    def sound(self) -> bool:
        """Checked, and nothing complained of."""
        return self.checked and not (self.quick or self.integrity or self.foreign_keys)

    @property
    def untouched(self) -> bool:
        """Main, ``-wal`` and ``-journal`` are byte for byte what they were, and no side file is new."""
        return not self.changed and not self.left_behind


def preflight(
    path: str | os.PathLike[str],
    *,
    seconds: float = 120.0,
    max_bytes: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> Preflight:
    """Examine the database at ``path`` as the module describes; it may be in use.

    ``seconds`` bounds the whole; ``max_bytes`` the size of all its files; ``scratch`` is where the temporary
    directory is made, which is removed in any case and needs about twice the database's size.

    Raises UsageError (one line) for a path that is missing, a directory, no regular file, unreadable,
    empty, truncated or not a SQLite database; LimitError when a limit is reached, or the database is
    written to without a pause and can't be opened either; LabError when a child process fails.
    """
    began = time.monotonic()
    main = Path(os.path.realpath(path))
    _refuse_what_is_no_file(path, main)
    with tempfile.TemporaryDirectory(prefix="crashlab-preflight-", dir=scratch) as directory:
        run = _Run(main, Path(directory), began + seconds)
        run.check_room(max_bytes)
        return run.examine(os.fspath(path), began)


def _refuse_what_is_no_file(given: str | os.PathLike[str], main: Path) -> None:
    try:
        mode = main.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{given} is not there; expected the path of a SQLite database") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"can't look at {given}: {error}") from None
    if stat.S_ISDIR(mode):
        raise UsageError(f"{given} is a directory; expected the path of a SQLite database")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{given} is no regular file; expected the path of a SQLite database")
    if not os.access(main, os.R_OK):
        raise UsageError(f"{given} can't be read: permission denied")


class _Run:
    """One preflight: the file, its temporary directory, its deadline."""

    def __init__(self, main: Path, directory: Path, deadline: float) -> None:
        self.main = main
        self.directory = directory
        self.deadline = deadline
        self.notes: list[str] = []

    def check_room(self, max_bytes: int | None) -> None:
        size = sum(os.stat(side).st_size for side in self._sides() if side.exists())
        if max_bytes is not None and size > max_bytes:
            raise LimitError(f"{self.main} and its side files have {size} bytes, the limit is {max_bytes}")
        free = shutil.disk_usage(self.directory).free
        if 2 * size > free:
            raise LimitError(
                f"a copy of {self.main} needs up to {2 * size} bytes in {self.directory.parent}, {free} are free"
            )

    def _sides(self) -> tuple[Path, ...]:
        return tuple(Path(f"{self.main}{suffix}") for suffix in ("", "-wal", "-shm", "-journal"))

    def examine(self, given: str, began: float) -> Preflight:
        raw_wal = self.directory / "raw-wal"
        before = self.child("look", str(self.main), str(raw_wal))
        header = self.refuse_what_is_no_database(given, before)
        wal = parse_wal(raw_wal.read_bytes()) if raw_wal.exists() else None
        hot = self.hot_journal(before)
        quick: tuple[str, ...] = ()
        integrity: tuple[str, ...] = ()
        foreign_keys: tuple[str, ...] = ()
        method = "none"
        if not hot:
            method, copy = self.copy(header, set(before["names"]))
            with open_private(copy, seconds=self.left()) as connection:
                quick = quick_check(connection)
                integrity = integrity_check(connection)
                foreign_keys = foreign_key_check(connection)
            # After closing, which moved the copy's WAL into its main file.
            with open(copy, "rb") as file:
                header = read_header(file.read(512), os.fstat(file.fileno()).st_size).header or header
        after = self.child("look", str(self.main), "")
        changed = self.compare(before["facts"], after["facts"])
        if changed:
            self.notes.append(f"changed by somebody else meanwhile: {', '.join(changed)}")
        return Preflight(
            path=given,
            method=method,
            header=header,
            main_pages=before["facts"][self.main.name]["size"] // header.page_size,
            sizes={name: facts["size"] for name, facts in before["facts"].items()},
            wal=_wal_facts(wal) if wal is not None else None,
            hot_journal=hot,
            quick=quick,
            integrity=integrity,
            foreign_keys=foreign_keys,
            changed=changed,
            left_behind=tuple(sorted(set(after["names"]) - set(before["names"]))),
            notes=tuple(self.notes),
            seconds=time.monotonic() - began,
        )

    def left(self) -> float:
        """Seconds to the deadline; raises LimitError behind it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LimitError(f"the preflight of {self.main} took longer than it was given")
        return left

    def child(self, *arguments: str) -> dict[str, Any]:
        """Run one command in a process of its own and return its answer."""
        command = [sys.executable, "-I", str(_CHILD), *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.left(), check=False
            )
        except subprocess.TimeoutExpired:
            raise LimitError(f"the preflight of {self.main} took longer than it was given") from None
        except OSError as error:
            raise LabError(f"can't start a process for the preflight: {error}") from error
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise LabError(f"a process of the preflight ended with code {done.returncode}: {last[0]}") from None
        if answer.get("denied"):
            raise UsageError(f"{self.main} can't be read: {answer['error']}")
        if "error" in answer and arguments[0] == "look":
            raise LabError(f"can't read {self.main}: {answer['error']}")
        return answer

    def refuse_what_is_no_database(self, given: str, seen: dict[str, Any]) -> DatabaseHeader:
        facts = seen["facts"].get(self.main.name)
        if facts is None:
            raise UsageError(f"{given} went away while it was looked at")
        report = read_header(bytes.fromhex(seen["head"]), facts["size"])
        if report.kind is FileKind.ZERO_LENGTH:
            wal = seen["facts"].get(f"{self.main.name}-wal", {"size": 0})["size"]
            danger = f", and a -wal of {wal} bytes lies beside it: SQLite would delete that on opening, copy both first"
            raise UsageError(f"{given} has zero length{danger if wal > 32 else '; expected a SQLite database'}")
        if report.kind is not FileKind.DATABASE or report.header is None:
            raise UsageError(f"{given} is no SQLite database ({report.kind}): {report.detail}")
        if report.detail:
            self.notes.append(f"the main file has {report.detail}")
        return report.header

    def hot_journal(self, seen: dict[str, Any]) -> str:
        """What a journal that nobody is writing says; empty without one, or while its writer lives."""
        name = f"{self.main.name}-journal"
        for _ in range(_LOOKS):
            head = bytes.fromhex(seen["journal_head"])
            if not head or not head[0]:
                return ""  # none, or ended: deleted, truncated or its header zeroed
            time.sleep(_PAUSE)
            earlier = seen["facts"].get(name)
            seen = self.child("look", str(self.main), "")
            if seen["facts"].get(name) != earlier:
                self.notes.append("a -journal was there and changed: a transaction was in progress")
                return ""
        magic = head[:8] == bytes.fromhex("d9d505f920a163d7")
        size = seen["facts"][name]["size"]
        what = f"{name}, {size} bytes, {'valid' if magic else 'invalid'} header"
        self.notes.append(
            "a hot journal, or a transaction that pauses: the database was not opened. The next program that opens"
            " it will roll the journal back; keep main and journal together until then"
        )
        return what

    def copy(self, header: DatabaseHeader, names: set[str]) -> tuple[str, Path]:
        """Make the consistent copy; returns the method and the copy's path."""
        wal, shm = f"{self.main.name}-wal" in names, f"{self.main.name}-shm" in names
        if (wal and shm) or not (wal or header.wal_mode):
            target = self.directory / "backup.db"
            answer = self.child("backup", str(self.main), str(target), f"{self.left() / 2:.3f}")
            if "copy" in answer:
                return "backup", target
            self.notes.append(f"SQLite could not back it up read-only: {answer['error']}; its files were copied")
        place = self.directory / "copies"
        place.mkdir()
        answer = self.child("copy", str(self.main), str(place), f"{self.left() / 2:.3f}")
        if "copy" in answer:
            return "copy", Path(answer["copy"])
        if answer.get("busy"):
            raise LimitError(f"no consistent copy of {self.main}: {answer['error']}")
        raise LabError(f"no copy of {self.main}: {answer['error']}")

    def compare(self, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
        """Names of main, -wal and -journal files whose facts differ, or that came or went."""
        return tuple(name for name in sorted(before | after) if before.get(name) != after.get(name))


def _wal_facts(wal: Wal) -> WalFacts:
    return WalFacts(
        size=wal.size,
        problem=wal.problem,
        end=str(wal.end),
        committed=wal.committed,
        uncommitted=wal.uncommitted,
        commits=len(wal.commits),
        earlier_frames=sum(run.frames for run in wal.tail if not run.current),
    )
