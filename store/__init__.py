"""The store: a small state manager for one SQLite file in WAL mode."""

from store.books.balances import SessionHoldings
from store.books.capital import CapitalEvent
from store.books.config import ConfigAudit, StrategyConfig, TradingConfig
from store.books.halts import HaltReason, halt_detail_of, halt_reason_of_signal
from store.books.ledger import LedgerEntry
from store.books.market import MarketSnapshot
from store.books.orders import Order, OrderStatus
from store.books.risk import RiskLimits, RiskReadings, risk_halt
from store.books.summary import SessionSummary, TouchStats
from store.books.synchronous import must_be_synchronous
from store.books.units import Asset, Holdings
from store.books.valuation import Valuation
from store.checkpoint import CheckpointRound
from store.config import EngineConfig
from store.errors import (
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreIdentity,
    StoreSchemaTooNew,
    StoreValidation,
)
from store.fills import Fill
from store.manager import StateManager
from store.metrics import Metric
from store.sessions import Session

__all__ = [
    "Asset",
    "CapitalEvent",
    "CheckpointRound",
    "ConfigAudit",
    "EngineConfig",
    "Fill",
    "HaltReason",
    "Holdings",
    "LedgerEntry",
    "MarketSnapshot",
    "Metric",
    "Order",
    "OrderStatus",
    "RiskLimits",
    "RiskReadings",
    "Session",
    "SessionHoldings",
    "SessionSummary",
    "StateManager",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreIdentity",
    "StoreSchemaTooNew",
    "StoreValidation",
    "StrategyConfig",
    "TouchStats",
    "TradingConfig",
    "Valuation",
    "halt_detail_of",
    "halt_reason_of_signal",
    "must_be_synchronous",
    "risk_halt",
]
