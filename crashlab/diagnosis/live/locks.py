"""Which locks an opener in WAL mode has not got, though every connection has them."""

from crashlab.diagnosis.live.look import LOCKED
from crashlab.diagnosis.live.report import Held, Look, Opener

__all__ = ["locks_lost"]

DMS = 128
"""Byte of the -shm that every connection in WAL mode holds a READ lock on."""


def locks_lost(look: Look, opener: Opener) -> dict[str, list[Held]]:
    """Role (main, shm) -> its files without the lock; empty too where this cannot be told."""
    if not look.lock_rows or not opener.of("wal") or not opener.of("main"):
        return {}
    if any(held.inode in look.ofd for held in opener.held):
        return {}
    lost = {
        "main": [held for held in opener.of("main") if not _has(held, LOCKED.start, LOCKED.stop)],
        "shm": [held for held in opener.of("shm") if not _has(held, DMS, DMS + 1)],
    }
    return {role: files for role, files in lost.items() if files}


def _has(held: Held, first: int, behind: int) -> bool:
    return any(start < behind and last >= first for _, start, last in held.locks)
