"""SQLite's own randomness (WAL salts, journal nonces, temporary names, `randomblob()`), from a seed.

SQLite's generator is one for the process and takes its state from the default VFS's `xRandomness`
(https://sqlite.org/c3ref/randomness.html). With that answered from a seed, single-threaded runs write the
same bytes every time. Threads draw in the order in which they come.
"""

from __future__ import annotations

import ctypes
import os
from _random import Random

from crashlab.model.seed import subseed
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashlab.sqlite.tap.call import Call
    from crashlab.sqlite.tap.library import Bindings
    from crashlab.sqlite.tap.tap import Tap

_attached: list[Seed] = []
_hooked = False


class Seed(Listener):
    """Answers `xRandomness` from `seed`. A forked child gets a seed of its own: the n-th child always the same."""

    operations = frozenset({Operation.RANDOMNESS})

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = Random(subseed(seed, "sqlite"))
        self._forks = 0
        self._bindings: Bindings | None = None

    def attached(self, tap: Tap) -> None:
        """Start SQLite's generator anew, from the seed."""
        self._bindings = tap.bindings
        self._rng = Random(subseed(self._seed, "sqlite"))
        _hook_forks()
        _attached.append(self)
        self._restart()

    def detached(self, tap: Tap) -> None:
        """Start SQLite's generator anew, from real randomness."""
        if self in _attached:
            _attached.remove(self)
        self._restart()

    def before(self, call: Call) -> int | None:
        """Fill the buffer."""
        size = call.size
        ctypes.memmove(call.pointer, self._rng.getrandbits(8 * size).to_bytes(size, "little"), size)
        return size

    def _restart(self) -> None:
        if self._bindings is not None:
            self._bindings.restart_randomness()

    def _forking(self) -> None:
        self._forks += 1

    def _forked(self) -> None:
        self._seed = subseed(self._seed, "fork", self._forks)
        self._forks = 0
        self._rng = Random(subseed(self._seed, "sqlite"))
        self._restart()


def _hook_forks() -> None:
    global _hooked
    if _hooked or not hasattr(os, "register_at_fork"):
        return
    _hooked = True
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    for seed in _attached:
        seed._forking()


def _after_fork() -> None:
    for seed in _attached:
        seed._forked()
