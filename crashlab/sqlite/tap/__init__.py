"""The tap: every call of an unmodified `sqlite3` to its operating system layer, seen and steered.

with Tap(Failer(Selector.parse("wal.sync#3"), Failure.FSYNC), recorder=Recorder(log, directory)):
    ...  # whatever uses sqlite3 in this process

The names are loaded when first used (PEP 562): a recorded program waits for those that it needs, at its start. For
the same reason nothing on its way imports `typing`, `re` or another module of milliseconds.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashlab.sqlite.tap.call import Call, OpenFile
    from crashlab.sqlite.tap.counter import Counter
    from crashlab.sqlite.tap.failer import Failer, Failure
    from crashlab.sqlite.tap.killer import Killer
    from crashlab.sqlite.tap.library import tap_problem
    from crashlab.sqlite.tap.listener import Listener
    from crashlab.sqlite.tap.operation import Operation
    from crashlab.sqlite.tap.pauser import Pauser
    from crashlab.sqlite.tap.recorder import Recorder
    from crashlab.sqlite.tap.seed import Seed
    from crashlab.sqlite.tap.selector import Selector, Trip
    from crashlab.sqlite.tap.tap import Tap

__all__ = [
    "Call",
    "Counter",
    "Failer",
    "Failure",
    "Killer",
    "Listener",
    "OpenFile",
    "Operation",
    "Pauser",
    "Recorder",
    "Seed",
    "Selector",
    "Tap",
    "Trip",
    "tap_problem",
]

_MODULES = {"OpenFile": "call", "Failure": "failer", "tap_problem": "library", "Trip": "selector"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES.get(name, name.lower())}"), name)
    return value
