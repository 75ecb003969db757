"""The public API: what a workload is written with, and how its trials are run from Python.

    import crashlab

    trials = crashlab.run_trials("myapp.lab:workload", fault="kill@ack#17", trials=100, seed=7)
    trials.assert_passed()

    crashlab.explore(writer, checks=[my_check]).assert_passed()

The engine is loaded when trials run, so a workload's module stays cheap to import. What trials show is
about process death; a kill is not a power loss. `explore` computes both from one recorded run of a plain function.
"""

from crashlab.api.explore import explore
from crashlab.api.explored import CrashFinding, ExploreFailedError, ExploreResult, ScheduleFinding
from crashlab.api.lab import Lab, run_trials
from crashlab.api.trials import Trials, TrialsFailedError
from crashlab.engine.subject import Subject
from crashlab.errors import (
    ConfigError,
    CrashlabError,
    LabError,
    LimitError,
    RecordError,
    SubjectError,
    TapUnavailableError,
    UsageError,
)
from crashlab.faults.fault import parse_fault
from crashlab.model.case import Case, Param
from crashlab.model.contract import Contract, Durability, FaultClass, Promise
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import History
from crashlab.model.outcome import Exposure, Outcome
from crashlab.model.step import Effect, Lane, Row, Step, Table
from crashlab.model.workload import Check, Context, Instance, Workload

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
    "explore",
    "parse_fault",
    "run_trials",
]
