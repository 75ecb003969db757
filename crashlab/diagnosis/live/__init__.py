"""A live database, seen from outside: who has it open, what each of them holds, and which locks are missing.

`live(path)` or `live(pid=N)` reads Linux's /proc from a process of its own. It opens no connection, and copies files
that have lost their names out of the processes that still hold them.
"""

from crashlab.diagnosis.live.report import LiveReport, Severity
from crashlab.diagnosis.live.take import live

__all__ = ["LiveReport", "Severity", "live"]
