"""What files each mechanism leaves: the file side of the gallery's pictures, and the finer signs.

The pictures say what an exhibit leaves; they are data already. `MUST` adds the signs without which it is not that
mechanism. `USUAL` adds what is there as a rule: its absence speaks against a mechanism and does not rule it out.
A mechanism without an entry leaves files that look healthy: nothing in them can tell it from an orderly end.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from crashlab.diagnosis.live.features import NORMAL
from crashlab.gallery.exhibit import Features, Kind
from crashlab.gallery.mechanisms import load_exhibits

__all__ = ["Suspect", "suspects"]

FILE_SIDE = (
    "main",
    "main.mode",
    "main.pages",
    "wal",
    "wal.end",
    "shm",
    "shm.frames",
    "journal",
    "rows.lost",
    "rows.changed",
)
"""The features of a picture that files, or files and a ledger, can show."""

_ANY = "structural|index only|FTS only|space only"
_TREES = {"damage": _ANY, "damage.where": "trees"}
_KEYS = {"damage": "index only", "damage.where": "keys"}
_BREAKS = {**_TREES, "wal.fit": "breaks"}
_TAIL = {"wal.tail": "commits"}

MUST: dict[str, dict[str, str]] = {
    "a1-corrupt": {**_TREES, "main.size": "short"},
    "a1-shm": {**_TAIL, "wal.seam": "clean", "shm.frames": "equal|none"},
    "a3-malformed": _TREES,
    "a7": {"main": "not a database", "main.start": "text|zeros|other"},
    "a8-malformed": _BREAKS,
    "a9-nolock": _KEYS,
    "b1-caught": {"shm": "impossible"},
    "b1-index": _KEYS,
    "b1-straddle": {"damage": "sound", "main.size": "long"},
    "b1-torn": _TREES,
    "c1-killed": {**_TAIL, "wal.seam": "clean", "shm.frames": "ahead|none"},
    "c1-s38": _TREES,
    "c2-malformed": _BREAKS,
    "d1-pair": _BREAKS,
    "d2": _BREAKS,
    "d3": {"wal.gone": "yes"},
    "d3-journal": _TREES,
    "d4": {"main": "zero length", "wal.commits": "some"},
    "e1": {**_TAIL, "wal.seam": "gaps|clean"},
    "e2-lying": _BREAKS,
    "e2-off": {**_TREES, "wal.fit": "neither"},
    "e5": {**_TAIL, "wal.seam": "one bit|gaps|clean", "shm.frames": "ahead|none"},
    "e5-salt": {"wal.tail": "unread", "wal": "header"},
    "e5-torn": {"shm.frames": "ahead", "wal.end": "partial frame", "wal.tail": "none"},
    "e6-index": _KEYS,
    "e6-page": _TREES,
    "e7": {"wal.gone": "yes", "damage": "sound"},
    "e7-checkpoint": {**_TREES, "wal.gone": "yes"},
    "f3": {"shm": "unusable"},
}
_WAL_ONLY = {"main.mode": "wal"}
_SHM = "missing|index|not built"
_STALE = {  # stale pages, page 1 among them, checkpointed over newer ones
    "main": "SQLite database|not a database",
    "main.start": "header|b-tree page|other",
    "main.mode": "wal|none",
    "main.size": "exact|long|short|none",
    "one.bit": "no",
}
USUAL: dict[str, dict[str, str]] = {
    "a7": {"main.start": "text", "damage": f"none|{_ANY}", "damage.where": "none|trees"},
    "a1-corrupt": {**_WAL_ONLY, "wal.gone": "no"},
    "a3-malformed": {**_STALE, "wal.gone": "no"},
    "a8-malformed": {"wal.base": "fits|older", "mode.clash": "no", "shm": "index"},
    "a9-nolock": {"main.mode": "rollback", "one.bit": "no"},
    "b1-index": {**_WAL_ONLY, "one.bit": "no", "main.size": "exact|long"},
    "b1-straddle": _WAL_ONLY,
    "b1-torn": {**_WAL_ONLY, "wal": "missing", "main.size": "exact|long", "one.bit": "no"},
    "c1-s38": _STALE,
    "c2-malformed": {"wal.base": "older|fits", "mode.clash": "no", "shm": "index"},
    "d1-pair": {"wal.base": "newer|fits", "mode.clash": "no"},
    "d2": {"wal.base": "older|newer|fits", "mode.clash": "yes"},
    "d3": {"damage": "sound"},
    "d3-journal": {"main.size": "long|exact", "wal": "missing"},
    "e1": {"shm": "missing"},
    "e1-synced": {**_WAL_ONLY, "shm": "missing", "wal.restarted": "yes"},
    "e2-lying": {"wal.base": "newer|fits", "shm": "missing", "mode.clash": "no"},
    "e2-off": {"main.size": "short|exact|none", "wal.base": "newer|fits", "shm": "missing"},
    "e5": {"wal.seam": "one bit|clean"},
    "e5-salt": {"wal.seam": "one bit", "shm.frames": "other"},
    "e6-index": {"one.bit": "yes"},
    "e6-page": {"one.bit": "yes"},
    "e7-checkpoint": {"main.size": "short"},
}
for _name in (
    *("a1-both", "a1-kill", "a1-race", "a1-split", "a2-sidecars", "a3-close", "a3-rows", "a4-notadb", "a4-short-read"),
    *("a5", "a6-carried", "a6-own", "a8-missing", "a9-immutable", "b1-lost", "b1-processes", "b1-threads", "c1", "d1"),
    *("d5", "e3", "f1"),
):
    USUAL[_name] = _WAL_ONLY
USUAL["a1-rollback"] = {"main.mode": "rollback"}
USUAL["d2-revert"] = {"wal.takes": "rows"}
USUAL["e6"] = {"backup.bit": "yes"}
USUAL["f1"] = {**_WAL_ONLY, "shm.starved": "yes|none"}
for _name in ("a2-sidecars", "a8-missing", "a9-immutable", "d2-revert", "f1", "h2"):
    USUAL[_name] = USUAL.get(_name, {}) | {"shm.frames": "none|equal|restarted"}  # nobody died within a commit
SILENT_TOO = {
    "e1": {**_WAL_ONLY, "wal": "broken|commits|no-commit", "shm": _SHM, "rows.lost": "suffix"},
    "f3": {"wal": "commits", "rows.lost": "none", "shm": "opening"},
}
"""Mechanisms that leave their sign only by chance: a power loss may take the frames behind a gap as well, and a -shm
that was cut to 3 bytes is also what an open leaves that was killed."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A mechanism. `must`: what rules it out when it is otherwise. `usual`: what speaks against it then."""

    id: str
    title: str
    must: dict[str, str]
    usual: dict[str, str]
    links: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether it leaves files that look healthy."""
        return not self.must


def _backup(picture: dict[str, str], *, silent: bool) -> dict[str, str]:
    """What a backup shows where a ledger would: it may be older than all that was lost, so that nothing is missing."""
    lost = picture.get("rows.lost", "" if silent else "suffix|gap|all")
    there = {"suffix": "none|suffix|all", "gap": "none|suffix|gap|all"}.get(lost, f"none|{lost}")
    return {"backup.lost": there} if lost else {}


def _live(picture: Features) -> dict[str, str]:
    """What a look at the living shows; a file that lost its name leads to another, or to none."""
    unlinked = picture.get("live.unlinked", "none")
    told = {"live.strayed": unlinked, "live.ghost_wal": "commits" if "wal" in unlinked else "none"}
    return {**NORMAL, **told, **{name: value for name, value in picture.items() if name in NORMAL}}


@lru_cache(maxsize=1)
def suspects() -> tuple[Suspect, ...]:
    """All mechanisms of the gallery, the acquitted left out; one may be there twice, with and without its sign."""
    found = []
    for exhibit in load_exhibits().values():
        if exhibit.kind is not Kind.MECHANISM or not exhibit.in_default_run:  # a search for one is none of its own
            continue
        picture = {name: value for name, value in exhibit.picture.items() if name in FILE_SIDE}
        if exhibit.id in MUST:
            picture.pop("shm.frames", None)  # said more exactly there
        must = MUST.get(exhibit.id, {})
        checks = {"integrity_check": "fails|not asked"} if must.get("damage", "sound") != "sound" else {}
        usual = {**picture, **checks, **_backup(picture, silent=not must), **_live(exhibit.picture)}
        usual |= USUAL.get(exhibit.id, {})
        if not must:
            usual.setdefault("shm", _SHM)
        found.append(Suspect(exhibit.id, exhibit.title, must, usual, exhibit.links))
    by_id = {suspect.id: suspect for suspect in found}
    found += [replace(by_id[name], must={}, usual=usual) for name, usual in SILENT_TOO.items()]
    return tuple(found)
