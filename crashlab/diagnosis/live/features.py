"""What looks at a living database say, as features: named as the gallery names what it sees of its actors.

They tell between mechanisms that leave the same files, so an autopsy of the files can be given them later.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from crashlab.diagnosis.live.locks import locks_lost
from crashlab.diagnosis.live.report import LiveReport, Look
from crashlab.errors import UsageError

__all__ = ["NORMAL", "live_features", "seen_features"]

SEEN_BYTES_MAX = 64 << 20

NORMAL = {
    "live.unlinked": "none",
    "live.strayed": "none",
    "live.ghost_wal": "none",
    "live.main_locks": "held",
    "live.shm_locks": "held",
    "live.links": "one",
    "live.backfill": "possible",
}
"""Feature -> what a database that is in use in good order shows."""


def live_features(looks: Iterable[Look]) -> dict[str, str]:
    """The features of several looks at one database together; empty where nobody ever had it open.

    `live.unlinked`, `live.strayed`: roles of files that an opener held whose name was gone, or led to another file.
    `live.ghost_wal`: commits, if one of those was a WAL with commits. `live.main_locks`, `live.shm_locks`: lost, if an
    opener in WAL mode had none there. `live.links`: several, if the main file had other names. `live.backfill`:
    impossible, if more frames were checkpointed than there were.
    """
    unlinked: set[str] = set()
    strayed: set[str] = set()
    found: dict[str, str] = {}
    opened = False
    for look in looks:
        opened |= bool(look.openers)
        for opener in look.openers:
            unlinked |= {held.role for held in opener.held if held.deleted}
            strayed |= {held.role for held in opener.held if held.strayed}
            for role in locks_lost(look, opener):
                found[f"live.{role}_locks"] = "lost"
        if any(commits for commits, _ in look.ghosts.values()):
            found["live.ghost_wal"] = "commits"
        if look.paths.get("main", (0, 1, 0))[1] > 1:
            found["live.links"] = "several"
        if look.index is not None and look.index[1] > look.index[0]:
            found["live.backfill"] = "impossible"
    if not opened:
        return {}
    roles = {"live.unlinked": "+".join(sorted(unlinked)), "live.strayed": "+".join(sorted(strayed))}
    return {**NORMAL, **found, **{name: value for name, value in roles.items() if value}}


def seen_features(path: str | os.PathLike[str], main: str) -> dict[str, str]:
    """The features of `main` in a report that `crashlab autopsy --live PATH --format json` gave while it was in use.

    A report on a single database is taken for it, since its files may have been moved. Raises UsageError for a file
    that is no such report, or that knows several databases and none of this path.
    """
    try:
        if os.path.getsize(path) > SEEN_BYTES_MAX:
            raise UsageError(f"--seen {path} has more than {SEEN_BYTES_MAX} bytes: no report of a look")
        report = msgspec.json.decode(Path(path).read_bytes(), type=LiveReport)
    except OSError as error:
        raise UsageError(f"--seen {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        expected = "what `crashlab autopsy --live PATH --format json` writes"
        raise UsageError(f"--seen {path} is no report of a look ({error}); expected {expected}") from None
    known = report.databases
    if len(known) > 1:
        known = tuple(each for each in known if os.path.realpath(each.look.path) == main)
    if not known:
        paths = ", ".join(each.look.path for each in report.databases) or "no database"
        raise UsageError(f"--seen {path} knows nothing of {main}; it is about {paths}")
    return live_features([known[0].look])
