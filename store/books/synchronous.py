"""Callables that must be synchronous, such as the exchange gateway's `submit_and_wait`.

Called without `await`, a coroutine function does nothing and returns something true: orders that were never sent
look submitted.
"""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from store.errors import StoreValidation

P = ParamSpec("P")
T = TypeVar("T")


def must_be_synchronous(function: Callable[P, T], what: str) -> Callable[P, T]:
    """Return `function`, guarded: each call raises at once if a coroutine (or other awaitable) comes back.

    Call it when the engine starts. Raises StoreValidation for a coroutine or asynchronous generator function, an
    object whose `__call__` is one, a `functools.partial` of one, and what is not callable. An awaitable that comes
    back by surprise is closed or cancelled before StoreValidation is raised.
    """
    if not callable(function):
        raise StoreValidation(f"{what} must be callable, not {type(function).__name__}")
    if _is_asynchronous(function):
        raise StoreValidation(f"{what} must be synchronous, but it is a coroutine function; wrap it in asyncio.run")

    @functools.wraps(function, updated=())
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result) or inspect.isasyncgen(result):
            _dispose(result)
            raise StoreValidation(f"{what} must be synchronous, but it returned a {type(result).__name__}, now dropped")
        return result

    return guarded


def _is_asynchronous(function: object) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (function, inspect.unwrap(function) if callable(function) else function, call)
    )


def _dispose(awaitable: object) -> None:
    """Close a coroutine that never ran (else it is a RuntimeWarning much later), cancel a task or future."""
    for end in ("close", "cancel"):
        method = getattr(awaitable, end, None)
        if callable(method):
            method()
            return
