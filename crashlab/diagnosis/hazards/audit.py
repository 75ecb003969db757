"""The one audit hook of this process. It cannot be removed, so it does nothing while nobody watches."""

import sys
from collections.abc import Callable
from typing import Any

Handler = Callable[[tuple[Any, ...]], None]

handlers: dict[str, Handler] = {}
"""What is called, by event (https://docs.python.org/3/library/audit_events.html). Empty: nobody watches."""

_hooked: list[bool] = []


def hook_once() -> None:
    """Put the hook in place, unless it is."""
    if _hooked:
        return
    _hooked.append(True)
    # Looked up by a bound method: the hook is called for everything that the interpreter announces, and outlives
    # the names of this module.
    find = handlers.get

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        handler = find(event)
        if handler is not None:
            handler(arguments)

    sys.addaudithook(hook)
