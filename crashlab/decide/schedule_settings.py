"""`[gate.schedules]`: how the gate explores a subject's lanes."""

from typing import Literal

import msgspec

from crashlab.decide.duration import parse_duration
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY, EXHAUSTIVE, parse_strategy
from crashlab.errors import ConfigError, UsageError
from crashlab.model.case import Param

__all__ = ["SchedulesConfig", "check_schedules"]

STEPS_MAX = 100


class SchedulesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gate.schedules]`: the orders in which a subject's lanes may run. `enabled=false` leaves these rows out.

    `budget` bounds the exploration, and a tenth of the gate's own budget does. `subject`: another subject whose lanes
    are explored for this one. `params` are set in it. `strategy`, `actors` (threads or processes) and `steps` of each
    lane as those of `crashlab schedules`. `control_seconds` bounds the search for the WAL-reset bug, where this SQLite
    has it.
    """

    enabled: bool = True
    budget: str = "10s"
    subject: str = ""
    params: dict[str, Param] = {}
    strategy: str = str(DEFAULT_STRATEGY)
    actors: Literal["threads", "processes"] = "threads"
    steps: int = 4
    control_seconds: float = 60.0


def check_schedules(config: SchedulesConfig, where: str) -> None:
    """Check what the types do not say.

    Raises:
        ConfigError: a duration, a strategy or a number that is none.
    """
    parse_duration(config.budget, f"{where}.budget")
    try:
        strategy = parse_strategy(config.strategy)
    except UsageError as error:
        raise ConfigError(f"{where}.strategy: {error}") from None
    if strategy.kind == EXHAUSTIVE:
        raise ConfigError(f"{where}.strategy: {strategy} is of the generic workload only; expected bpr, pct or sticky")
    if not 1 <= config.steps <= STEPS_MAX:
        raise ConfigError(f"{where}.steps = {config.steps}, expected 1 to {STEPS_MAX}")
    if not 0 < config.control_seconds <= 3600:
        raise ConfigError(f"{where}.control_seconds = {config.control_seconds}, expected more than 0, at most 3600")
