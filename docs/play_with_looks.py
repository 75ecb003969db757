"""Play one exhibit, look at the living between its steps, and keep what it left: for update_autopsy_matrix.py.

python docs/play_with_looks.py EXHIBIT SEED PLACE

PLACE gets the files, an early copy, the ledger and the looks. The director opens no database, so that it may look.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from crashlab.diagnosis.autopsy.confusion import LOOKS
from crashlab.diagnosis.live.look import look
from crashlab.diagnosis.live.report import Look
from crashlab.engine.workspace import Workspace
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.stage.driver import STDLIB, find_driver
from crashlab.gallery.stage.sight import Sight
from crashlab.gallery.stage.stage import Stage
from crashlab.gallery.telling import Result


class _Watched(Stage):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.keep = True
        self.looks: list[Look] = []
        self._known: dict[tuple[int, int], str] = {}

    def step(self, done: str, *, main: Path | None = None) -> Sight:
        """A step, and a look as `crashlab autopsy --live` looks."""
        sight = super().step(done, main=main)
        self.looks.append(look(str(main or self.main), self._known))
        return sight


def main() -> None:
    """Play it; the exit code is 1 and the reason is on standard error where it did not go as expected."""
    name, seed, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    exhibit = load_exhibits()[name]
    missing = exhibit.missing_needs()
    if missing:
        raise SystemExit(f"{name} needs {', '.join(missing)}")
    with Workspace() as space:
        directory = space.make_run()
        stage = _Watched(exhibit, find_driver(STDLIB), directory, seed=seed, control=False)
        try:
            exhibit.run(stage)
            telling = stage.finish()
        finally:
            stage.stop()
        if telling.result is not Result.AS_EXPECTED:
            raise SystemExit(f"{name}: {telling.result}, {telling.why or telling.differs}")
        (directory / "evidence" / LOOKS).write_bytes(msgspec.json.encode(stage.looks))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(directory / "evidence", place)


if __name__ == "__main__":
    main()
