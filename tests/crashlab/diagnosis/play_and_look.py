"""Plays one side of an exhibit, and looks at the living victims after each step; the fixture `played` runs it.

Arguments: exhibit, seed, `control` or `damage`, directory. The director opens no database, so that it may look.
"""

import json
import sys
from pathlib import Path

import msgspec

from crashlab.diagnosis.live import live, take
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.stage.driver import STDLIB, find_driver
from crashlab.gallery.stage.stage import Stage

take.LOOKS = 1  # nobody moves between two steps


class Watched(Stage):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.looks = []

    def step(self, done, *, main=None):
        sight = super().step(done, main=main)
        into = self.directory.parent / f"rescued-{len(self.looks)}"
        self.looks.append([done, msgspec.to_builtins(live(self.main, into=into))])
        return sight


def main():
    name, seed, side, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    exhibit = load_exhibits()[name]
    stage = Watched(exhibit, find_driver(STDLIB), directory, seed=seed, control=side == "control")
    try:
        exhibit.run(stage)
        telling = stage.finish()
    finally:
        stage.stop()
    told = {"acked": stage.ledger.acked, "looks": stage.looks, "result": telling.result.value}
    (directory / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
