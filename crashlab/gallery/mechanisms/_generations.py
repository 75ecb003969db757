"""What A2, A3 and A4 share: files of a live database lose their names, and a second generation begins."""

import os

from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import Stage

__all__ = ["ADVICE", "LINKS", "delete_sidecars", "is_same", "remember"]

LINKS = (
    "https://sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use",
    "https://github.com/NousResearch/hermes-agent/issues/73411",
)
ADVICE = (
    "replace, restore or delete only after every process that has the database open has ended",
    "restore into a live database with the backup API, never with a rename",
    "in the program: keep (device, inode) of all three files, compare by stat before each write and before close",
)
SIDECARS = ("-wal", "-shm")


def delete_sidecars(stage: Stage) -> None:
    """Somebody who has no database open deletes -wal and -shm."""
    for suffix in SIDECARS:
        os.unlink(f"{stage.main}{suffix}")
    stage.step("somebody runs rm state.db-wal state.db-shm, to get rid of a lock")


def remember(actor: Self, path: str) -> None:
    """Keep the identity of the three files; runs in the actor's process, by ``stat`` alone."""
    actor.state["identity"] = _identity(path)


def is_same(actor: Self, path: str) -> bool:
    """Whether the paths still lead to the files that were remembered; the careful program's check."""
    same: bool = actor.state["identity"] == _identity(path)
    return same


def _identity(path: str) -> list[tuple[int, int] | None]:
    identities: list[tuple[int, int] | None] = []
    for suffix in ("", *SIDECARS):
        try:
            status = os.stat(path + suffix)
        except FileNotFoundError:
            identities.append(None)
        else:
            identities.append((status.st_dev, status.st_ino))
    return identities
