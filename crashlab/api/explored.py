"""What an exploration of a writer has shown, and how a failure of it is told."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crashlab.decide.statistics import format_rate
from crashlab.errors import CrashlabError

__all__ = ["CrashFinding", "ExploreFailedError", "ExploreResult", "ScheduleFinding"]


class ExploreFailedError(CrashlabError, AssertionError):
    """A writer did not pass: a finding, or nothing that could be judged. The message says which."""

    exit_code = 1


@dataclass(frozen=True)
class CrashFinding:
    """One violated invariant and the smallest crash state found that shows it.

    `invariant`: `ORACLE/NAME`; the name is a check's own. `fault_class`: process death or power loss. `fault`: the
    state's text. `step`: the operation at which it struck. `lost`: what a power loss took. `states`: crash states in
    the failing classes. `case`: its directory, None if nothing is kept.
    """

    invariant: str
    fault_class: str
    message: str
    fault: str
    step: str
    lost: tuple[str, ...]
    database: str
    states: int
    case: Path | None = None
    commands: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it at length: invariant, what was seen, step, fault, files, commands."""
        lost = "; ".join(self.lost[:3]) + (f"; and {len(self.lost) - 3} more" if len(self.lost) > 3 else "")
        lines = [
            f"invariant    {self.invariant}, violated {self.states:,} times ({self.fault_class})",
            f"seen         {self.message}",
            f"step         {self.step}",
            f"fault        {self.fault}" + (f", which takes {lost}" if lost else ""),
            f"database     {self.database}",
        ]
        if self.case is not None:
            lines.append(f"files        {self.case / 'evidence'}")
        lines += [f"{name:<12} {command}" for name, command in self.commands.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class ScheduleFinding(CrashFinding):
    """One violated invariant and the smallest schedule found that shows it.

    `fault`: the schedule, as segments: which lane (`a` is the first) went past how many calls. `step`: the lanes.
    `story`: who did which calls, and what was in the wal-index. `replayed`: how often it failed again, and alike.
    """

    story: str = ""
    replayed: str = ""

    def __str__(self) -> str:
        """Say it at length: invariant, what was seen, schedule, files, commands, story."""
        lines = [
            f"invariant    {self.invariant}, violated by a schedule ({self.fault_class})",
            f"seen         {self.message}",
            f"lanes        {self.step}",
            f"schedule     {self.fault}",
            f"replayed     {self.replayed}",
        ]
        if self.case is not None:
            lines.append(f"files        {self.case / 'evidence'}")
        lines += [f"{name:<12} {command}" for name, command in self.commands.items()]
        return "\n".join([*lines, "", *self.story.rstrip().splitlines()])


@dataclass(frozen=True)
class ExploreResult:
    """What an exploration has shown; nothing in it says "safe".

    `states`: distinct crash states looked at; `classes`: kinds of recovered content that stand for them, each
    recovered by real SQLite (`recoveries` in all). `failed`: states in failing classes, each finding counted.
    `commits`, `acks`: of the recorded run. `faults`: what was computed. `exhaustive`: every state that exists was
    looked at. `unit`: what was counted. `missed`: why nothing could be judged, "" otherwise.
    `records`: where cases are.
    """

    subject: str
    faults: tuple[str, ...]
    states: int = 0
    classes: int = 0
    recoveries: int = 0
    failed: int = 0
    commits: int = 0
    acks: int = 0
    checks: Mapping[str, int] = field(default_factory=dict)
    exhaustive: bool = False
    unit: str = "crash states"
    findings: tuple[CrashFinding, ...] = ()
    missed: str = ""
    seed: int = 1
    records: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Something was judged, and nothing was found."""
        return not self.missed and not self.findings

    @property
    def interval(self) -> str:
        """The share of failing states among those looked at, with its 95 % interval."""
        return format_rate(min(self.failed, self.states), self.states)

    @property
    def invariants(self) -> dict[str, int]:
        """`oracle/invariant` → failing crash states."""
        counts: dict[str, int] = {}
        for finding in self.findings:
            counts[finding.invariant] = counts.get(finding.invariant, 0) + finding.states
        return counts

    @property
    def summary(self) -> str:
        """One line: how much was looked at, of what, under which faults, and how it came out."""
        if self.missed:
            return f"{self.subject}: MISSED ({', '.join(self.faults)}): {self.missed}"
        count = f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}; failing {self.interval}"
        if self.unit == "plays":
            plays = "1 play" if self.states == 1 else f"{self.states} plays"
            return f"{self.subject}: {plays} ended by a kill ({', '.join(self.faults)}); {count}"
        if self.unit == "schedules":
            return f"{self.subject}: {self.states:,} schedules ({', '.join(self.faults)}); {count}; seed {self.seed}"
        how = "every state that exists" if self.exhaustive else "a sample of those that exist"
        run = f", of a run with {self.commits} commits and {self.acks} acks" if self.commits else ""
        return (
            f"{self.subject}: {self.states:,} {self.unit} by {' and '.join(self.faults)} ({how}) in {self.classes:,} "
            f"classes{run}; {count}; seed {self.seed}"
        )

    def assert_passed(self) -> None:
        """Raise unless something was judged and nothing was found.

        Raises:
            ExploreFailedError: naming invariant, step, fault, files and commands of each finding.
        """
        __tracebackhide__ = True
        if not self.passed:
            raise ExploreFailedError("\n\n".join([self.summary, *map(str, self.findings)]))


def shell(*words: str) -> str:
    """Return a command that can be pasted."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
