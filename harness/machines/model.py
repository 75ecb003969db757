"""What every model has: plain Python state that is frozen after each transaction, and refusals.

A model has the store's public methods by the same names, with the same arguments. Where the store raises a
`StoreError` of its own, the model raises `Refused`. Its state is plain data; `now` is the time of the operation.
"""

import pickle
from collections.abc import Sequence
from typing import Any, Self


class Refused(Exception):  # noqa: N818
    """The operation is not acceptable; it changes nothing, apart from transactions that it had committed."""


class Model:
    """Base of the models. Attributes are the state; those named in `_TRANSIENT` are not part of it."""

    _TRANSIENT = frozenset({"now", "passed"})

    def __init__(self) -> None:
        self.now = 0
        self.passed: list[bytes] = []
        """The states after each transaction of the operation that runs, but for its last."""

    def view(self) -> dict[str, Any]:
        """What the store's public reads should say, by the name of the read."""
        raise NotImplementedError

    def restarted(self, who: str = "") -> None:
        """Every process, or the one called `who`, has ended: forget what was in its memory only."""

    def freeze(self) -> bytes:
        """Return the state as bytes."""
        return pickle.dumps({name: value for name, value in self.__dict__.items() if name not in self._TRANSIENT})

    def thaw(self, frozen: bytes) -> Self:
        """Return a new model with that state."""
        made = type(self)()
        made.__dict__.update(pickle.loads(frozen))
        made.now = self.now
        return made

    def commit(self) -> None:
        """An operation of several transactions has committed one, and goes on."""
        self.passed.append(self.freeze())

    def block(self, steps: Sequence[tuple[str, dict[str, Any]]], *, fail: bool, who: str = "") -> list[Any]:
        """Several operations in one `transaction()`, each by itself all or nothing; `fail`: left by an exception."""
        results: list[Any] = []
        for name, arguments in steps:
            before = self.freeze()
            try:
                results.append(getattr(self, name)(**arguments))
            except Refused:
                self._become(before)
                results.append("refused")
        if fail:
            raise Refused("the block is left by an exception")
        return results

    def _become(self, frozen: bytes) -> None:
        self.__dict__.update(pickle.loads(frozen))
