"""Putting replacements in place of functions, wherever a module holds them, and taking them away again."""

import os
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

_SETS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


class Patch:
    """Replaces objects by others in every loaded module: `from os import replace` holds one of its own."""

    def __init__(self, replacements: list[tuple[Any, Any]]) -> None:
        self._pairs = replacements
        self._defaults: list[tuple[types.FunctionType, tuple[Any, ...] | None]] = []

    def apply(self) -> None:
        """Replace."""
        there = {id(real): new for real, new in self._pairs}
        _rebind(there)
        for name in _SETS:
            known: set[Any] = getattr(os, name, set())
            known.update(new for real, new in self._pairs if real in known)
        for function in _with_defaults():
            defaults = function.__defaults__ or ()
            if any(id(value) in there for value in defaults):
                self._defaults.append((function, function.__defaults__))
                function.__defaults__ = tuple(there.get(id(value), value) for value in defaults)

    def undo(self) -> None:
        """Put the real ones back, also in modules that were loaded meanwhile."""
        for function, defaults in self._defaults:
            function.__defaults__ = defaults
        self._defaults.clear()
        for name in _SETS:
            known: set[Any] = getattr(os, name, set())
            known.difference_update(new for _, new in self._pairs)
        _rebind({id(new): real for real, new in self._pairs})


def unbound(function: Callable[..., Any]) -> Any:
    """Make a Python function behave as a built-in one does when it is a class attribute: it takes no `self`."""
    return staticmethod(function)


def _rebind(replacements: dict[int, Any]) -> None:
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType) or module.__name__.startswith(__package__ or "?"):
            continue
        names = vars(module)
        if replacements.keys().isdisjoint(map(id, names.values())):
            continue
        for name, value in list(names.items()):
            new = replacements.get(id(value))
            if new is not None:
                names[name] = new


def _with_defaults() -> list[types.FunctionType]:
    """Functions of the standard library that keep a real one as a default argument."""
    closer = getattr(tempfile, "_TemporaryFileCloser", None)
    return [value for value in vars(closer).values() if isinstance(value, types.FunctionType)] if closer else []
