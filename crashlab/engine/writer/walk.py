"""Crash states one by one, judged as directories: for what is no database that SQLite had open, such as a copy."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from crashlab.engine.program.explore import Found
from crashlab.engine.writer.judge import fault_class_of
from crashlab.engine.writer.record import Run
from crashlab.model.finding import Finding, Identity
from crashlab.model.seed import rng_for
from crashlab.states.materialise import Materialiser
from crashlab.states.models import Model, Policy, crash_states
from crashlab.states.state import CrashState

__all__ = ["RECIPE", "Walk", "Walked"]

RECIPE = "recipe"
JudgeDirectory: TypeAlias = Callable[[Path, list[Any]], Mapping[str, str]]
"""(a private copy of the files, what was acked) → invariant → what is wrong."""


class Walked(msgspec.Struct, frozen=True):
    """`states`: looked at, which may repeat where they were sampled; `disks`: different ones with their acks."""

    states: int
    disks: int
    found: tuple[Found, ...]


class Walk:
    """Walks through crash states of one run; `scratch` is a directory of its own. A context manager."""

    def __init__(self, run: Run, judge: JudgeDirectory, subject: str, scratch: Path) -> None:
        self._run, self._judge, self._subject = run, judge, subject
        self._laid = scratch / "laid"
        self._files = Materialiser(run.trace, scratch / "states")
        self._known: dict[bytes, Mapping[str, str]] = {}

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def judge(self, state: CrashState) -> list[Finding]:
        """Return what is wrong with a state's files."""
        work = self._files.show(state)
        acked = self._run.acked(state.op)
        digest = hashlib.blake2b(repr(len(acked)).encode(), digest_size=16)
        for name in sorted(self._files.sizes()):
            data = (work / name).read_bytes()
            digest.update(f"{name} {len(data)} ".encode() + data)
        problems = self._known.get(digest.digest())
        if problems is None:
            shutil.copytree(work, self._laid)
            try:
                problems = self._known[digest.digest()] = self._judge(self._laid, acked)
            finally:
                shutil.rmtree(self._laid)
        fault_class = fault_class_of(state)
        return [
            Finding(Identity(RECIPE, invariant, self._subject, fault_class.value), message)
            for invariant, message in problems.items()
        ]

    def walk(self, policies: Iterable[Policy], states: int, first: int, seed: int, database: str) -> Walked:
        """Judge every moment from `first` on: `states` under each policy, drawn with `seed` where there are more."""
        found: dict[Identity, Found] = {}
        looked = 0
        for policy in policies:
            model = Model(policy, states_max=states, first=min(first, len(self._run.trace)))
            for state in crash_states(self._run.trace, model, rng_for(seed, RECIPE, policy)):
                looked += 1
                for finding in self.judge(state):
                    known = found.get(finding.identity, Found(finding, database, state, 0))
                    found[finding.identity] = msgspec.structs.replace(known, states=known.states + 1)
        return Walked(looked, len(self._known), tuple(found.values()))
