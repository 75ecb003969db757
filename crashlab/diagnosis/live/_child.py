"""The process that looks at a live database; run as a script by :mod:`crashlab.diagnosis.live.take`.

It has no connection, so that no lock of it can be cancelled by reading a file.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Started with -I, so that neither the user's directory nor his PYTHONPATH can change what runs.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from crashlab.diagnosis.child import answer
from crashlab.errors import UsageError


def examine(order: dict[str, Any]) -> dict[str, Any]:
    """Look several times at one database, or at all that a process has open; rescue where a directory is named."""
    import msgspec

    from crashlab.diagnosis.live.findings import findings_of, lasting
    from crashlab.diagnosis.live.look import databases_of, look
    from crashlab.diagnosis.live.report import Database, Rescued
    from crashlab.diagnosis.live.rescue import rescue

    pid: int = order["pid"]
    known: dict[tuple[int, int], str] = {}
    try:
        paths = [order["path"]] if order["path"] else databases_of(pid)
    except PermissionError:
        raise UsageError(f"process {pid} belongs to somebody else: its files can't be seen; run as its user") from None
    looks: dict[str, list[Any]] = {path: [] for path in paths}
    for number in range(order["looks"]):
        if number:
            time.sleep(order["pause"])
        for path in paths:
            looks[path].append(look(path, known, via=pid))
    databases = []
    into = Path(order["into"]) if order["into"] else None
    for number, (path, seen) in enumerate(looks.items()):
        found = lasting([findings_of(each) for each in seen])
        rescued: tuple[Rescued, ...] = ()
        if into is not None:
            place = into if len(paths) == 1 else into / f"{number + 1}-{Path(path).name}"
            into.mkdir(exist_ok=True)
            rescued = rescue(seen[-1], place, bytes_max=order["bytes_max"])
        databases.append(Database(seen[-1], found, rescued))
    plain: dict[str, Any] = msgspec.to_builtins({"databases": databases})
    return plain


if __name__ == "__main__":
    answer({"look": examine})
