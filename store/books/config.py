"""The whole configuration of a trading session, and the proof that every key of it is wired to something."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, cast

from store.books.risk import RiskLimits
from store.config import EngineConfig, build, read_blocks
from store.errors import StoreValidation
from store.validation import number, shown, text


@dataclass(frozen=True)
class StrategyConfig:
    """How quotes are made; raises StoreValidation for values that cannot be.

    `requote_interval_seconds` must equal the engine's tick: a quote is renewed once in each. A spread above
    `clob_switch_threshold_bps` basis points switches the engine to the order book.
    """

    requote_interval_seconds: float = 4
    clob_switch_threshold_bps: float = 3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = number(getattr(self, field.name), f"strategy.{field.name}")
            if value <= 0:
                raise StoreValidation(f"strategy.{field.name} must be greater than 0, not {shown(value)}")


@dataclass(frozen=True)
class TradingConfig:
    """The blocks `engine:`, `strategy:` and `risk:` of the YAML file, checked together."""

    engine: EngineConfig
    strategy: StrategyConfig
    risk: RiskLimits

    def __post_init__(self) -> None:
        tick, requote = self.engine.tick_interval_seconds, self.strategy.requote_interval_seconds
        if requote != tick:
            raise StoreValidation(
                f"strategy.requote_interval_seconds must equal engine.tick_interval_seconds: {requote} is not {tick}"
            )

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Self:
        """Read all three blocks; each missing key's default is logged at INFO, a missing risk limit is refused.

        Raises StoreValidation, naming the file, as `EngineConfig.from_yaml` does.
        """
        source = Path(text(os.fspath(path), "path", 4096))
        try:
            blocks = read_blocks(source)
            return cls(
                build(EngineConfig, "engine", blocks, source),
                build(StrategyConfig, "strategy", blocks, source),
                build(RiskLimits, "risk", blocks, source),
            )
        except StoreValidation as error:
            raise StoreValidation(f"{source}: {error}") from error


class ConfigAudit:
    """A configuration that notes which keys are read.

    Wire the engine from `engine`, `strategy` and `risk` here, then call `require_consumed()`: a key that
    nothing read changes nothing, however it is set.
    """

    engine: EngineConfig
    strategy: StrategyConfig
    risk: RiskLimits

    def __init__(self, config: TradingConfig) -> None:
        self._unread: dict[str, None] = {}
        for block in fields(config):
            values = getattr(config, block.name)
            self._unread.update(dict.fromkeys(f"{block.name}.{field.name}" for field in fields(values)))
            setattr(self, block.name, cast(Any, _Noted(values, block.name, self._unread)))

    @property
    def unread(self) -> list[str]:
        """The keys that nothing has read yet, as `block.key`."""
        return list(self._unread)

    def require_consumed(self) -> None:
        """Raise StoreValidation naming the keys that nothing has read."""
        if self._unread:
            raise StoreValidation(f"parsed but never read: {', '.join(self._unread)}; wire each of them or remove it")


class _Noted:
    """One block's values; reading one crosses it off."""

    def __init__(self, values: object, block: str, unread: dict[str, None]) -> None:
        self._values, self._block, self._unread_keys = values, block, unread

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._values, name)
        self._unread_keys.pop(f"{self._block}.{name}", None)
        return value
