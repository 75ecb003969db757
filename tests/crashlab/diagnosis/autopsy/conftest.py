"""Files that exhibits left, made once."""

import pytest

from crashlab.gallery.host import Host
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.gallery.telling import Result


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
