"""Counting calls."""

import threading
from collections import Counter as _Counts
from collections.abc import Iterable

from crashlab.log.trace import Role
from crashlab.sqlite.tap.call import Call
from crashlab.sqlite.tap.listener import Listener
from crashlab.sqlite.tap.operation import Operation


class Counter(Listener):
    """Counts calls that were over, by role and operation. `operations`: which; all when not given."""

    def __init__(self, operations: Iterable[Operation] = tuple(Operation)) -> None:
        self.operations = frozenset(operations)
        self._counts: _Counts[tuple[Role, Operation]] = _Counts()
        self._lock = threading.Lock()

    def after(self, call: Call, rc: int) -> None:
        """Count it."""
        key = (call.role, call.operation)
        with self._lock:
            self._counts[key] += 1

    @property
    def counts(self) -> dict[tuple[Role, Operation], int]:
        """Calls so far, by role and operation."""
        with self._lock:
            return dict(self._counts)

    def count(self, operation: Operation, role: Role | None = None) -> int:
        """Calls of one operation so far, on files of one role or of any."""
        return sum(n for (r, op), n in self.counts.items() if op is operation and role in (None, r))
