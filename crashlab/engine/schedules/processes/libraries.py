"""The SQLites of one process of a schedule: the workload's, and those of foreign actors that bring their own."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from crashlab.sqlite.apsw_module import ApswBindings, import_apsw
from crashlab.sqlite.tap import Tap

__all__ = ["Libraries"]


class Libraries:
    """The workload's SQLite and its tap, and more of them as they are asked for, each with a tap alike."""

    def __init__(self, tap: Tap, module: ModuleType) -> None:
        self._make: Callable[[Any], Tap] = lambda module: Tap(gate=tap.gate, module=module)
        self._modules: list[Any] = [module]
        self._taps = [tap]
        self._loaded: dict[str, Any] = {}

    @property
    def own(self) -> Tap:
        """The tap on the workload's SQLite."""
        return self._taps[0]

    def load(self, directory: str) -> Any:
        """Return the apsw of a directory, on whose SQLite there is a tap now; raises UsageError if there is none."""
        if directory not in self._loaded:
            apsw = self._loaded[directory] = import_apsw(directory, beside=True)
            self._modules.append(SimpleNamespace(tap_bindings=lambda: ApswBindings(apsw)))
            self._taps.append(self._make(self._modules[-1]))
            self._taps[-1].install()
        return self._loaded[directory]

    def tap_again(self, make: Callable[[Any], Tap]) -> None:
        """Put other taps in the place of those that are there; nothing may be open."""
        for tap in reversed(self._taps):
            tap.uninstall()
        self._make = make
        self._taps = [make(module) for module in self._modules]
        for tap in self._taps:
            tap.install()
