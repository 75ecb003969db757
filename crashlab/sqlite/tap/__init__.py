"""The tap: every call of an unmodified `sqlite3` to its operating system layer, seen and steered.

with Tap(Failer(Selector.parse("wal.sync#3"), Failure.FSYNC), recorder=Recorder(log, directory)):
    ...  # whatever uses sqlite3 in this process
"""

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
