"""`[study]` and `[subjects.NAME.study]`: which parameters of a subject are the axes of a cadence study."""

import msgspec

from crashlab.errors import ConfigError
from crashlab.model.case import Param

__all__ = ["StudyConfig", "check_study"]

WRITES_MAX = 100_000
TICK_S_MIN, TICK_S_MAX = 1e-4, 1e5
RATE_MAX = 1e4


class StudyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a cadence study has to know of a subject.

    `cadence` (seconds between checkpoints), `every` (writes between them), `autocheckpoint` (frames), `mode`,
    `synchronous`, `reader` and `size` name the parameter that is this axis; one that the subject does not declare
    is no axis. `steps` names the parameter with the number of steps. `tick_s`: seconds from write to write, as the
    program has them. `writes`: steps of a stepped run. `base` and `values`: an axis's base value and its values.
    `params` are set in every run, `latency_params` in those in real time, which write `latency_rate` times a second
    for `latency_s` seconds.
    """

    cadence: str = "checkpoint_interval_s"
    every: str = "checkpoint_every"
    autocheckpoint: str = "wal_autocheckpoint"
    mode: str = "checkpoint_mode"
    synchronous: str = "synchronous"
    reader: str = "reader"
    size: str = "preload_rows"
    steps: str = "steps"
    tick_s: float = 4.0
    writes: int = 2000
    base: dict[str, Param] = {}
    values: dict[str, list[Param]] = {}
    params: dict[str, Param] = {}
    latency_params: dict[str, Param] = {}
    latency_rate: float = 200.0
    latency_s: float = 1.5


def check_study(settings: StudyConfig, where: str) -> None:
    """Refuse numbers that make no study.

    Raises:
        ConfigError: with `where` in front.
    """
    for name, value, low, high in (
        ("tick_s", settings.tick_s, TICK_S_MIN, TICK_S_MAX),
        ("writes", settings.writes, 1, WRITES_MAX),
        ("latency_s", settings.latency_s, 0.01, 600.0),
        ("latency_rate", settings.latency_rate, 1.0 / TICK_S_MAX, RATE_MAX),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{where}.{name} = {value}, expected {low:g} to {high:g}")
