"""The processes of a salvage; run as a script by :mod:`crashlab.diagnosis.salvage.take`.

`take` copies the originals and hashes them, `again` hashes them once more. `list` and `make` mend and parse the copies;
`make` writes the new database, with SQLite, into a directory of its own. Each is a process of its own with limits on
memory and file size, so that a hostile file can end one of them only.
"""

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # Started with -I, so that neither the user's directory nor his PYTHONPATH can change what runs.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would reserve gigabytes of address space

from crashlab.diagnosis.child import answer
from crashlab.diagnosis.evidence import take
from crashlab.errors import LabError, LimitError
from crashlab.sqlite.files import file_facts

if TYPE_CHECKING:
    from crashlab.diagnosis.salvage.generations import Sources
    from crashlab.diagnosis.salvage.report import Mended


def list_choices(order: dict[str, Any]) -> dict[str, Any]:
    """All choices, and the default."""
    from crashlab.diagnosis.salvage.choose import RULE, default_choice, listed

    with ExitStack() as stack:
        sources, mended = _sources(order, stack)
        choices, hidden = listed(sources)
        chosen, _ = default_choice(sources)
        usable = sources.view(chosen.id).page_size
        return _plain(choices=choices, hidden=hidden, chosen=chosen.id if usable else "", rule=RULE, mended=mended)


def make_new(order: dict[str, Any]) -> dict[str, Any]:
    """Make the new database from the choice that was named, or from the default."""
    import sqlite3

    from crashlab.diagnosis.salvage.choose import RULE, default_choice, looked_at, others
    from crashlab.diagnosis.salvage.generations import BEHIND, CHAIN
    from crashlab.diagnosis.salvage.make import Wish, make

    with ExitStack() as stack:
        sources, mended = _sources(order, stack)
        best, rest = default_choice(sources)
        wanted = sources.canonical(order["at"] or best.id)
        chosen = best if wanted == best.id else looked_at(sources, wanted)
        merged = list(order["merge"])
        if merged == ["all"]:  # not what an earlier generation left: all of that was in the main file once
            kept = [each for each in sources.generations if each.kind in (CHAIN, BEHIND)]
            mine = sources.find(wanted)[0]
            merged = [f"{each.number}:{each.commits}" for each in kept if each is not mine]
        merged = [name for name in map(sources.canonical, merged) if name != wanted]
        known = [each for each in (best, *rest) if each.id != wanted]
        wish = Wish(
            wanted, tuple(merged), order["renumber"], order["orphans"], order["method"],
            order["pages_max"], order["rows_max"], order["seconds"],
        )  # fmt: skip
        new = Path(order["new"])
        _limit_files(order["size_max"])
        try:
            made = make(sources, wish, new)
        except sqlite3.Error as error:
            if new.exists() and new.stat().st_size >= order["size_max"]:
                raise LimitError(f"the new database is larger than {order['size_max']} bytes; --bytes-max") from None
            raise LabError(f"SQLite gave up on the new database: {error}") from error
        facts = file_facts(new)
        return _plain(
            source=chosen, rule=RULE if not order["at"] else "named by --at", mended=mended, made=made,
            alternatives=(*known, *others(sources, [wanted, *(each.id for each in known)])),
            images=sources.images(wanted), merged=merged, sha256=facts.sha256, bytes=facts.size,
            problems=sources.problems,
        )  # fmt: skip


def _limit_files(size_max: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size_max, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _sources(order: dict[str, Any], stack: ExitStack) -> "tuple[Sources, tuple[Mended, ...]]":
    from crashlab.diagnosis.salvage.generations import Sources
    from crashlab.diagnosis.salvage.mend import mend
    from crashlab.sqlite.buffers import FileBuffer, MemoryBuffer
    from crashlab.sqlite.pages import database

    def opened(path: str) -> FileBuffer:
        return stack.enter_context(FileBuffer(path))

    main = opened(order["main"]) if order["main"] else MemoryBuffer(b"")
    size = database(main).page_size
    mended: tuple[Mended, ...] = ()
    if order["mend"]:
        for name, path in order["wals"]:
            mended += mend(Path(path), name, main, size)
    wals = [(name, opened(path)) for name, path in order["wals"]]
    return Sources(main, wals, opened(order["journal"]) if order["journal"] else None), mended


def _plain(**parts: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(parts)
    return plain


if __name__ == "__main__":
    answer({"take": take, "again": take, "list": list_choices, "make": make_new})
