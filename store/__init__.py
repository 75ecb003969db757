"""The store: a small state manager for one SQLite file in WAL mode."""

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
    "CheckpointRound",
    "EngineConfig",
    "Fill",
    "Metric",
    "Session",
    "StateManager",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreIdentity",
    "StoreSchemaTooNew",
    "StoreValidation",
]
