"""Launching writers: the same call whether they are forked from a zygote or spawned."""

import sys
from typing import Protocol

from crashlab.model.history import Ended
from crashlab.writers.order import Order


class Launcher(Protocol):
    """Runs orders of one workload, one at a time; not shared between threads."""

    def launch(self, order: Order) -> Ended:
        """Run one order to its end.

        Raises:
            SubjectError: the workload does not import.
            LabError: the launcher itself broke; close it and make another.
        """

    def close(self) -> None:
        """End the launcher and every process of it."""


def make_launcher(workload: str, path: tuple[str, ...] = ()) -> Launcher:
    """Return the fastest launcher that is sound here: forked on Linux, spawned elsewhere.

    macOS has fork, but its system libraries do not survive it; Windows has none.
    """
    if sys.platform.startswith("linux"):
        from crashlab.writers.zygote_client import ZygoteLauncher

        return ZygoteLauncher(workload, path)
    from crashlab.writers.spawn import SpawnLauncher

    return SpawnLauncher(workload, path)


def can_hang_up() -> bool:
    """True if a writer can be put on a pseudo-terminal here."""
    return sys.platform.startswith("linux")
