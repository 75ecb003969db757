"""F3: the -shm file is shortened under a mapping. The next look at the wal-index ends the process with SIGBUS."""

import os

from crashlab.gallery.exhibit import CLEAN, Exhibit
from crashlab.gallery.stage.actor import Gone
from crashlab.gallery.stage.stage import Stage
from crashlab.model.contract import FaultClass

FIELD_BYTES = 3
"""What an opener that believes itself the first truncates -shm to (os_unix.c)."""


def run(stage: Stage) -> None:
    """The file is shortened, its holder goes on."""
    writer = stage.opener("W")
    stage.create(writer)
    stage.insert(writer, "W", 20 + stage.rng("W").randrange(30))
    stage.step("W commits rows, each acknowledged; its wal-index is mapped")
    if not stage.control:
        os.truncate(f"{stage.main}-shm", FIELD_BYTES)
        stage.step(f"somebody shortens -shm to {FIELD_BYTES} bytes")
    ended = "none"
    try:
        stage.insert(writer, "late", 5)
    except Gone as gone:
        ended = gone.signal or "EXIT"
    stage.observe("victim.ended", ended)
    stage.step("W commits on" if ended == "none" else f"W looks at the wal-index, and is ended by {ended}")


EXHIBITS = (
    Exhibit(
        id="f3",
        title="-shm shortened under a mapping: SIGBUS",
        fault_class=FaultClass.INTERFERENCE,
        happens=(
            "Every connection in WAL mode has -shm mapped into its memory, whatever mmap_size says. Somebody shortens "
            "the file; the next access behind its end is a bus error, in the middle of whatever the process was doing. "
            "In the field it is an opener that found no lock on -shm (see a1) and believed itself the first."
        ),
        control="nobody shortens it",
        run=run,
        picture={
            "victim.ended": "SIGBUS",
            "shm": "unusable",
            "wal": "commits",
            "rows.lost": "none",
            "quick_check": "ok",
            "integrity_check": "ok",
        },
        clean={**CLEAN, "victim.ended": "none", "shm": "index"},
        symptom="processes die of SIGBUS (core in walIndex… or walFindFrame); no committed row is missing",
        advice=(
            "find out who touches -shm: a raw open and close of it in a process that has the database open (a1)",
            "do not truncate, copy over or sync the side files of a live database",
            "the next opener rebuilds the index from the WAL: nothing is to be repaired",
        ),
        mistaken_for=("wal_checkpoint(TRUNCATE), which shortens -wal and never -shm", "bad memory", "mmap_size"),
        links=(
            "https://github.com/NousResearch/hermes-agent/issues/109728",
            "https://github.com/opensensor/lightNVR/issues/587",
            "https://github.com/diegosouzapw/OmniRoute/issues/14005",
        ),
    ),
)
