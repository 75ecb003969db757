"""The originals: which files they are, hashed and copied first, hashed once more at the end; never opened by SQLite."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from typing import Any

import msgspec

from crashlab.errors import LabError, UsageError
from crashlab.sqlite.files import FileFacts, file_facts

_BLOCK = 256 << 10
_SIDES = ("-wal", "-shm", "-journal")


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the original: size in bytes, hash before and after. `unchanged`: both looks agree in all."""

    role: str
    path: str
    size: int
    sha256: str
    unchanged: bool


def is_there(role: str, place: str, *, named: bool) -> bool:
    """Whether there is a file; raises UsageError for what is none, and for an absent one that the user named."""
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise UsageError(f"--{role} {place} does not exist; expected a file") from None
        return False
    except (OSError, ValueError) as error:
        raise UsageError(f"can't look at {place}: {error}") from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{place} is no regular file; expected the file of a database, or one beside it")
    return True


def check_main(path: object, main: str, roles: Iterable[str]) -> None:
    """Refuse a path with nothing of a database at it, and one of a side file."""
    if not {"main", "wal", "journal"} & set(roles):
        raise UsageError(f"{path} does not exist, nor a -wal or -journal beside it; expected a database's main file")
    for suffix in _SIDES:
        if main.endswith(suffix) and os.path.exists(main.removesuffix(suffix)):
            raise UsageError(f"{path} is a side file; name the main file {main.removesuffix(suffix)}")


def take(order: dict[str, Any]) -> dict[str, Any]:
    """A job: hash every file, and copy it in the same pass, so that what is examined is what was hashed.

    `order["files"]`: role, path, and where the copy goes (empty: it is hashed only). Answers with the facts by role.
    """
    facts = {}
    for role, path, copy in order["files"]:
        try:
            facts[role] = (_copied(path, copy) if copy else file_facts(path))._asdict()
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise UsageError(f"can't read {path}: {error.strerror}") from None
        except OSError as error:
            raise LabError(f"can't copy {path}: {error.strerror}") from None
    return {"facts": facts}


def _copied(path: str, copy: str) -> FileFacts:
    """Copy a file, by the kernel where it can (a file system that shares blocks copies none), and hash the copy."""
    with open(path, "rb", buffering=0) as reader, open(copy, "xb", buffering=0) as writer:
        size = _all_by_kernel(reader.fileno(), writer.fileno())
        block = memoryview(bytearray(_BLOCK))
        while got := reader.readinto(block):
            size += _all_of(writer, block[:got])
        status = os.fstat(reader.fileno())
    if size != status.st_size:
        raise LabError(f"{path} changes while it is copied: stop what writes it, or copy it yourself first")
    return file_facts(copy)._replace(name=os.path.basename(path), mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def _all_by_kernel(reader: int, writer: int) -> int:
    """How many bytes the kernel copied from here on: all, or some, or none where it can't."""
    size = 0
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):
            while got := os.copy_file_range(reader, writer, 1 << 30):
                size += got
    return size


def _all_of(writer: FileIO, block: memoryview) -> int:
    done = 0
    while done < len(block):
        done += writer.write(block[done:])
    return done


def compared(
    files: Iterable[tuple[str, str]], before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]
) -> tuple[Evidence, ...]:
    """What two looks (the facts of `take`) say of each (role, path); a name that came or went is a change too."""
    evidence = []
    for role, path in files:
        one, other = before.get(role), after.get(role)
        known = one or other or {"size": 0, "sha256": ""}
        evidence.append(Evidence(role, path, known["size"], known["sha256"], one is not None and one == other))
    return tuple(evidence)
