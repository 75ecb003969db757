"""What surrounds the engine: its configuration files, what it calls, how it names the reasons of a halt."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import store
from crashlab.model.workload import Audit
from harness.workloads.paper_session.exchange import PaperGateway
from harness.workloads.paper_session.reasons import past
from harness.workloads.paper_session.wiring import LIMITS, wire
from store import (
    ConfigAudit,
    EngineConfig,
    HaltReason,
    RiskLimits,
    RiskReadings,
    StoreValidation,
    StrategyConfig,
    TradingConfig,
    must_be_synchronous,
    risk_halt,
)
from store.config import read_blocks

CONFIGURATIONS = tuple(
    Path(store.__file__).resolve().parents[1] / "config" / name for name in ("config.yaml", "config.example.yaml")
)
_BLOCKS: dict[str, type[Any]] = {"engine": EngineConfig, "strategy": StrategyConfig, "risk": RiskLimits}
_CALLED = ("submit_and_wait", "cancel")

Guard = Callable[[Callable[..., Any], str], Callable[..., Any]]
Classify = Callable[[RiskLimits, RiskReadings], tuple[HaltReason, str] | None]


def config_wired(
    paths: tuple[Path, ...] = CONFIGURATIONS, wiring: Callable[[ConfigAudit], object] = wire
) -> Iterator[str]:
    """Every configuration file carries every key, is accepted, and each key is read by the engine."""
    for path in paths:
        try:
            blocks = read_blocks(path)
            for name, kind in _BLOCKS.items():
                block = blocks.get(name)
                given = block if isinstance(block, dict) else {}
                if missing := [field.name for field in fields(kind) if field.name not in given]:
                    yield f"{path.name}: {name} lacks {', '.join(missing)}"
            audit = ConfigAudit(TradingConfig.from_yaml(path))
            wiring(audit)
            audit.require_consumed()
        except StoreValidation as error:
            yield f"{path.name}: {error}"


def synchronous(gateway: type[Any] = PaperGateway, guard: Guard = must_be_synchronous) -> Iterator[str]:
    """What the engine calls on its gateway is synchronous, and the store's guard refuses what is not."""
    for name in _CALLED:
        try:
            guard(getattr(gateway, name), name)
        except StoreValidation as error:
            yield str(error)

    async def coroutine() -> None:
        """What a gateway must not be."""

    class Awaiting:
        async def __call__(self) -> None:
            """Neither."""

    for what in (coroutine, functools.partial(coroutine), Awaiting()):
        try:
            guard(what, "a coroutine function")
        except StoreValidation:
            continue
        yield f"{type(what).__name__}: a coroutine function passed for synchronous"

    def surprise() -> object:
        made.append(coroutine())
        return made[-1]

    made: list[Any] = []
    try:
        guard(surprise, "a surprise")()
    except StoreValidation:
        return
    made[-1].close()
    yield "a coroutine that was returned by surprise passed for an answer"


def halt_classification(classify: Classify = risk_halt) -> Iterator[str]:
    """A reading at its limit halts nothing; one just past it halts for that limit's own reason."""
    for reason in (reason for reason in HaltReason if reason.value.startswith("risk_")):
        at, beyond = (classify(LIMITS, past(LIMITS, reason, over)) for over in (0, 1))
        if at is not None:
            yield f"{reason} at its limit: {at[0]}, expected no halt"
        if beyond is None or beyond[0] is not reason:
            yield f"{reason} past its limit: {beyond[0] if beyond else 'no halt'}"


AUDITS = (
    Audit("config-wired", config_wired),
    Audit("synchronous", synchronous),
    Audit("halt-classification", halt_classification),
)
