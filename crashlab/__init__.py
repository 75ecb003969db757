"""A crash-reliability lab for programs that keep their state in SQLite.

The names below are the public API (`crashlab.api` says what they are). They are loaded when first used,
PEP 562, so `import crashlab` costs next to nothing: the pytest plugin is in every test session.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Case",
    "Check",
    "ConfigError",
    "Context",
    "Contract",
    "CrashFinding",
    "CrashlabError",
    "Durability",
    "Effect",
    "ExploreFailedError",
    "ExploreResult",
    "Exposure",
    "FaultClass",
    "Finding",
    "History",
    "Identity",
    "Instance",
    "Lab",
    "LabError",
    "Lane",
    "LimitError",
    "Outcome",
    "Param",
    "Promise",
    "RecordError",
    "Row",
    "ScheduleFinding",
    "Step",
    "Subject",
    "SubjectError",
    "Table",
    "TapUnavailableError",
    "Trials",
    "TrialsFailedError",
    "UsageError",
    "Verdict",
    "Workload",
    "__version__",
    "explore",
    "parse_fault",
    "run_trials",
]

if TYPE_CHECKING:
    from crashlab.api import (
        Case,
        Check,
        ConfigError,
        Context,
        Contract,
        CrashFinding,
        CrashlabError,
        Durability,
        Effect,
        ExploreFailedError,
        ExploreResult,
        Exposure,
        FaultClass,
        Finding,
        History,
        Identity,
        Instance,
        Lab,
        LabError,
        Lane,
        LimitError,
        Outcome,
        Param,
        Promise,
        RecordError,
        Row,
        ScheduleFinding,
        Step,
        Subject,
        SubjectError,
        Table,
        TapUnavailableError,
        Trials,
        TrialsFailedError,
        UsageError,
        Verdict,
        Workload,
        parse_fault,
        run_trials,
    )
    from crashlab.api.explore import explore


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used; `crashlab.hazards` and `crashlab.recipes` are modules."""
    from importlib import import_module

    if name in ("hazards", "recipes"):
        return import_module(f"crashlab.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'crashlab' has no attribute {name!r}")
    value = getattr(import_module("crashlab.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "hazards", "recipes"})
