"""From the files that a database left behind to the mechanisms that can have left them so.

`autopsy(path)` copies first, and never lets SQLite touch an original. It reads the bytes (`facts`), says what is never
there in health (`signs`), and ranks the gallery's mechanisms by what each would leave (`suspects`, `ranking`).
Mechanisms that leave files which cannot be told apart come as one set.
"""

from crashlab.diagnosis.autopsy.report import Report, Verdict
from crashlab.diagnosis.autopsy.take import autopsy

__all__ = ["Report", "Verdict", "autopsy"]
