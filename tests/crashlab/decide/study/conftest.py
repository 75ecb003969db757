from pathlib import Path

import pytest

from crashlab.decide.study.run import Study, StudyOptions
from crashlab.decide.study.settings import StudyConfig
from crashlab.engine.events import Emitter
from crashlab.engine.subject import Subject

HERE = str(Path(__file__).parent)


@pytest.fixture
def study(tmp_path):
    """Run a small study: axis → values; returns its result and its events."""

    def run(workload="App", settings=None, seed=1, rounds=0, also=(), **chosen):
        events = []
        subject = Subject(workload.lower(), f"studied_app:{workload}", (HERE,))
        options = StudyOptions(seed=seed, seconds=120, workers=2, chosen=chosen, rounds=rounds, also=also)
        with Study(subject, settings or StudyConfig(tick_s=1.0, writes=60), options) as planned:
            planned.plan()
            return planned.run(Emitter(events.append), str(tmp_path)), events

    return run
