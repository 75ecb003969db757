"""The event stream: the engine emits, everything else listens."""

import itertools
import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, TypeAlias

from crashlab.model.event import Event

Listener: TypeAlias = Callable[[Event], None]


class Emitter:
    """Numbers events, from `first` on, and hands them to every listener, one at a time, in order."""

    def __init__(self, *listeners: Listener, first: int = 0) -> None:
        self._listeners = list(listeners)
        self._numbers = itertools.count(first)
        self._lock = threading.Lock()

    def add(self, listener: Listener) -> None:
        """Let one more listen, from the next event on."""
        self._listeners.append(listener)

    def emit(self, kind: str, trial_id: str = "", **data: Any) -> None:
        """Tell everybody."""
        with self._lock:
            event = Event(next(self._numbers), monotonic_ns(), kind, trial_id, data)
            for listener in self._listeners:
                listener(event)
