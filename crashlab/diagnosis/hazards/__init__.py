"""Hazards: what a running program does that will hurt its SQLite database later.

    with watch() as seen:
        ...  # whatever uses sqlite3 in this process
    for hazard in seen.hazards: ...

What is heard: the interpreter's audit events, each connection that SQLite opens and closes (`seam`), and what
/proc and `stat` tell. Nothing is called for a statement or a commit. The watch never opens a database's files.

- `kinds`: every hazard, why it hurts, what to do instead. `hazard`: one that was seen, as data. `text`: in words.
- `detect/`: the detectors. `connections`: who has what open. `proc`, `stack`: the process and its lines.
- `watcher`: the one of the process. `watching`: one use of it. `spool`: how other processes tell theirs.
"""

from crashlab.diagnosis.hazards.hazard import Frame, Hazard, Related, Severity
from crashlab.diagnosis.hazards.kinds import KINDS, Kind
from crashlab.diagnosis.hazards.text import count_of, grouped, headline, whole
from crashlab.diagnosis.hazards.watching import CrashlabHazardWarning, HazardsFoundError, Watch, watch

__all__ = [
    "KINDS",
    "CrashlabHazardWarning",
    "Frame",
    "Hazard",
    "HazardsFoundError",
    "Kind",
    "Related",
    "Severity",
    "Watch",
    "count_of",
    "grouped",
    "headline",
    "watch",
    "whole",
]
