"""What the engine takes from the configuration: each key of it, and nothing else."""

from dataclasses import fields
from typing import NamedTuple

from store import ConfigAudit, EngineConfig, RiskLimits, StrategyConfig, TradingConfig

LIMITS = RiskLimits(
    max_xrp_exposure=100.0,
    max_rlusd_exposure=250.0,
    max_rpc_failures=5,
    max_ledger_age_seconds=20,
    max_gateway_unhealthy_seconds=30,
)


class Wired(NamedTuple):
    """The configuration as the engine uses it."""

    tick_s: float
    requote_s: float
    clob_switch_bps: float
    dry_run: bool
    database: str
    checkpoint_interval_s: float
    limits: RiskLimits


def wire(config: TradingConfig | ConfigAudit) -> Wired:
    """Read every key; the engine is made of what this returns."""
    engine, strategy, risk = config.engine, config.strategy, config.risk
    return Wired(
        engine.tick_interval_seconds,
        strategy.requote_interval_seconds,
        strategy.clob_switch_threshold_bps,
        engine.dry_run,
        engine.db_path,
        engine.wal_checkpoint_interval_seconds,
        RiskLimits(**{field.name: getattr(risk, field.name) for field in fields(RiskLimits)}),
    )


def paper_config(database: str, checkpoint_interval_s: float) -> TradingConfig:
    """The configuration of a run."""
    engine = EngineConfig(db_path=database, wal_checkpoint_interval_seconds=checkpoint_interval_s)
    return TradingConfig(engine, StrategyConfig(), LIMITS)
