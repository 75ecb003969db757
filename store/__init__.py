"""Three small stores in SQLite files in WAL mode: the engine's state, an agent's memory, a run ledger."""

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
from store.message_log import ChatSession, Disagreement, Hit, Message, MessageLog
from store.metrics import Metric
from store.run_ledger import TERMINAL_STATUSES, AgentRun, Run, RunCapReached, RunLedger
from store.sessions import Session
from store.wal import enable_wal

__all__ = [
    "TERMINAL_STATUSES",
    "AgentRun",
    "Asset",
    "CapitalEvent",
    "ChatSession",
    "CheckpointRound",
    "ConfigAudit",
    "Disagreement",
    "EngineConfig",
    "Fill",
    "HaltReason",
    "Hit",
    "Holdings",
    "LedgerEntry",
    "MarketSnapshot",
    "Message",
    "MessageLog",
    "Metric",
    "Order",
    "OrderStatus",
    "RiskLimits",
    "RiskReadings",
    "Run",
    "RunCapReached",
    "RunLedger",
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
    "enable_wal",
    "halt_detail_of",
    "halt_reason_of_signal",
    "must_be_synchronous",
    "risk_halt",
]
