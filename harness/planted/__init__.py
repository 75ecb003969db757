"""Broken twins of the stores: one bug a file, each caught by one named invariant.

The lab is tested on them: an invariant that no planted bug breaks proves nothing, and so does one that the
correct twin, the good store under the same parameters and fault, breaks as well. A package for each workload.
"""

from crashlab.decide.planted import Planted
from harness.planted.books import PLANTED as BOOKS
from harness.planted.ledger import PLANTED as LEDGER
from harness.planted.manager import PLANTED as MANAGER
from harness.planted.memory import PLANTED as MEMORY

PLANTED: tuple[Planted, ...] = MANAGER + MEMORY + LEDGER + BOOKS

__all__ = ["PLANTED"]
