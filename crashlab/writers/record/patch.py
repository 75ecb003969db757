"""Putting replacements in place of functions, wherever a module holds them, and taking them away again."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Module, _Function = type(sys), type(lambda: None)
_SETS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


class Patch:
    """Replaces objects by others in every loaded module: `from os import replace` holds one of its own."""

    def __init__(self, replacements: list[tuple[Any, Any]]) -> None:
        self._pairs = replacements

    def apply(self) -> None:
        """Replace."""
        there = {id(real): new for real, new in self._pairs}
        _rebind(there)
        for name in _SETS:
            known: set[Any] = getattr(os, name, set())
            known.update(new for real, new in self._pairs if real in known)
        _in_defaults(there)

    def undo(self) -> None:
        """Put the real ones back, also in modules that were loaded meanwhile."""
        back = {id(new): real for real, new in self._pairs}
        _in_defaults(back)
        for name in _SETS:
            known: set[Any] = getattr(os, name, set())
            known.difference_update(new for _, new in self._pairs)
        _rebind(back)


def unbound(function: Callable[..., Any]) -> Any:
    """Make a Python function behave as a built-in one does when it is a class attribute: it takes no `self`."""
    return staticmethod(function)


def _rebind(replacements: dict[int, Any]) -> None:
    for module in list(sys.modules.values()):
        if not isinstance(module, _Module) or module.__name__.startswith(__package__ or "?"):
            continue
        names = vars(module)
        if replacements.keys().isdisjoint(map(id, names.values())):
            continue
        for name, value in list(names.items()):
            new = replacements.get(id(value))
            if new is not None:
                names[name] = new


def _in_defaults(replacements: dict[int, Any]) -> None:
    """Replace where functions of `tempfile`, if it is loaded, keep a function of `os` as a default argument."""
    closer = getattr(sys.modules.get("tempfile"), "_TemporaryFileCloser", None)
    for function in vars(closer).values() if closer else ():
        defaults = function.__defaults__ if isinstance(function, _Function) else None
        if defaults and any(id(value) in replacements for value in defaults):
            function.__defaults__ = tuple(replacements.get(id(value), value) for value in defaults)
