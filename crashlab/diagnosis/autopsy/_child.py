"""The processes that touch the evidence; run as a script by :mod:`crashlab.diagnosis.autopsy.take`.

`take` copies the originals and hashes them; `again` hashes them once more: raw bytes, and never SQLite. `examine`
parses the copies, `ask` lets SQLite open copies of the copies. Each is a process of its own, so that a hostile file can
end one of them only, and with a limit on its memory.
"""

import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Started with -I, so that neither the user's directory nor his PYTHONPATH can change what runs.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would reserve gigabytes of address space

from crashlab.diagnosis.child import answer
from crashlab.diagnosis.evidence import take
from crashlab.sqlite.files import Triplet


def examine_copies(order: dict[str, Any]) -> dict[str, Any]:
    """Parse the copies."""
    import msgspec

    from crashlab.diagnosis.autopsy.facts import examine

    facts: dict[str, Any] = msgspec.to_builtins(examine(Triplet.of(order["main"]), keys=order["keys"]))
    return facts


def ask(order: dict[str, Any]) -> dict[str, Any]:
    """SQLite's own checks, and the ledger and the backup held against the rows."""
    import msgspec

    from crashlab.diagnosis.autopsy.accounts import against_ledger, own_checks, read_ledger
    from crashlab.diagnosis.autopsy.backup import against_backup, compare_pages
    from crashlab.sqlite.check import open_evidence, open_readable

    entries = read_ledger(Path(order["ledger"]), order["ledger_name"]) if order["ledger"] else None
    refused = _refused(Path(order["main"]))
    if refused is not None:
        return {"refused": refused}
    answer: dict[str, Any] = {"features": {}}
    if order["backup"]:
        pages, answer["features"] = compare_pages(Path(order["main"]), Path(order["backup"]))
    # A journal is to be rolled back, and an attached backup may be in need of recovery: those are written to.
    written = order["backup"] or os.path.exists(f"{order['main']}-journal")
    open_it = open_evidence if written else open_readable
    with open_it(order["main"], scratch=order["scratch"], seconds=order["seconds"]) as connection:
        answer["checks"] = own_checks(connection)
        if entries is not None:
            facts, features = against_ledger(connection, entries)
            answer["ledger"] = msgspec.to_builtins(facts)
            answer["features"] |= features
        if order["backup"]:
            older, features = against_backup(connection, Path(order["backup"]), pages)
            answer["backup"] = msgspec.to_builtins(older)
            answer["features"] |= features
    return answer


def _refused(main: Path) -> str | None:
    """Why SQLite is not to open a copy of this file; empty where that needs no words."""
    from crashlab.sqlite.buffers import FileBuffer
    from crashlab.sqlite.header import FileKind, read_header
    from crashlab.sqlite.journal import super_journal_name

    if not main.exists():
        return ""
    with FileBuffer(str(main)) as data:
        if read_header(data.read(0, 512), data.size).kind is not FileKind.DATABASE:
            return ""
    journal = Path(f"{main}-journal")
    if journal.exists():
        with FileBuffer(str(journal)) as data:
            if super_journal_name(data):
                return "the journal names a super-journal, which an opener might delete"
    return None


if __name__ == "__main__":
    answer({"take": take, "again": take, "examine": examine_copies, "ask": ask})
