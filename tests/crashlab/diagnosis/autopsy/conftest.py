"""Files that exhibits left, made once; and a look at hostile ones, which counts and takes the time."""

import os
from collections import Counter

import pytest

from crashlab.diagnosis.autopsy import autopsy
from crashlab.diagnosis.autopsy.facts import examine
from crashlab.diagnosis.autopsy.ranking import rank
from crashlab.diagnosis.autopsy.signs import verdict_of, with_checks
from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.telling import Result
from crashlab.sqlite.files import Triplet


@pytest.fixture(scope="session")
def left_by(tmp_path_factory):
    """`left_by(id, seed, control=False)`: the main file that a run of an exhibit left, and what the run showed."""
    made = {}
    with Host() as host:

        def make(name, seed, control=False):
            key = name, seed, control
            if key not in made:
                place = tmp_path_factory.mktemp("left") / "files"
                run = host.play(load_exhibits()[name], seed, control=control, keep=place)
                if run.result is Result.SKIPPED:
                    pytest.skip(run.why)
                assert run.result is Result.AS_EXPECTED, run
                made[key] = next(path for path in place.iterdir() if path.suffix == ".db"), run
            return made[key]

        yield make


class Looks:
    """Examines and ranks files in this process, which is what hostile bytes could break. `slowest`: CPU seconds."""

    SECONDS_MAX = 5.0

    def __init__(self):
        self.count, self.wholes, self.slowest, self.verdicts = 0, 0, 0.0, Counter()

    def __call__(self, path, *, whole=False):
        """Look at one; `whole`: by an autopsy too, with all its processes. Fails where a byte of it has changed."""
        files = Triplet.of(path)
        before = {each: each.read_bytes() for each in files.existing()}
        began = self.cpu()
        features = with_checks(examine(files, keys=True).features, {})
        rank(features)
        self.verdicts[str(verdict_of(features, unchanged=True))] += 1
        self.slowest = max(self.slowest, self.cpu() - began)
        if whole and before.keys() - {files.shm}:
            began = self.cpu()
            assert autopsy(path).unchanged
            self.slowest = max(self.slowest, self.cpu() - began)
            self.wholes += 1
        assert {each: each.read_bytes() for each in files.existing()} == before
        self.count += 1

    @staticmethod
    def cpu():
        """Seconds of this process and of those that it has waited for: the load of the machine is not in them."""
        return sum(os.times()[:4])

    def __str__(self):
        verdicts = ", ".join(f"{count} {name}" for name, count in self.verdicts.most_common())
        return f"{self.count} files ({verdicts}), {self.wholes} by a whole autopsy, slowest {self.slowest:.2f} s"


@pytest.fixture
def looked_at():
    """See `Looks`."""
    return Looks()
