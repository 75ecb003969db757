"""The best database that the bytes of a damaged or lossy one can give, in a new file, with a ledger beside it.

`list_choices(path)` says what there is: the main file, and each commit of each generation of each WAL. `salvage(path,
new)` takes one of them. Originals are copied, hashed before and after, and never opened by SQLite.
"""

from crashlab.diagnosis.salvage.report import Listing, Report
from crashlab.diagnosis.salvage.take import list_choices, salvage

__all__ = ["Listing", "Report", "list_choices", "salvage"]
