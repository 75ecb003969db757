"""What trials showed, and how a failure of theirs is told."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crashlab.errors import (
    CrashlabError,
)
from crashlab.model.finding import Finding, Verdict
from crashlab.model.outcome import Outcome

if TYPE_CHECKING:
    pass

_HISTORY_BYTES_MAX = 4 << 20
_HISTORY_STEPS = 5


class TrialsFailedError(CrashlabError, AssertionError):
    """Trials did not pass: a finding, an error of the lab, or no evidence. The message says which."""

    exit_code = 1


@dataclass(frozen=True)
class Trials:
    """What a run of trials has shown.

    `seed` is the run's own; each trial's case has a sub-seed of it. `stop` says why it ended, `seconds` how
    long it took, `records` where its files are, `config` the file that lets `crashlab replay` find the
    workload by its name.
    """

    subject: str
    faults: tuple[str, ...]
    seed: int
    asked: int
    outcomes: tuple[Outcome, ...]
    stop: str
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    records: Path | None = None
    config: Path | None = None

    def _with(self, *verdicts: Verdict) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.verdict in verdicts)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The trials that contradicted the contract."""
        return self._with(Verdict.FAIL)

    @property
    def judged(self) -> tuple[Outcome, ...]:
        """The trials in which the fault fired and that could be judged: the evidence."""
        return self._with(Verdict.PASS, Verdict.FAIL)

    @property
    def missed(self) -> tuple[Outcome, ...]:
        """The trials whose fault never fired; they prove nothing."""
        return self._with(Verdict.MISSED)

    @property
    def errors(self) -> tuple[Outcome, ...]:
        """The trials in which the lab itself broke."""
        return self._with(Verdict.ERROR)

    @property
    def invariants(self) -> dict[str, int]:
        """`oracle/invariant` → number of trials that violated it."""
        counts: dict[str, int] = {}
        for outcome in self.failures:
            for name in sorted({_invariant(finding) for finding in outcome.findings}):
                counts[name] = counts.get(name, 0) + 1
        return counts

    @property
    def summary(self) -> str:
        """One line: how many, how they ended, the seed."""
        return (
            f"{len(self.judged)} of {len(self.outcomes)} trials judged, {len(self.failures)} failed, "
            f"{len(self.missed)} missed, {len(self.errors)} errors of the lab, seed {self.seed}"
        )

    def replay_command(self, outcome: Outcome) -> str:
        """The command that replays a failing trial, ready to paste; empty if its files were not kept."""
        if not outcome.case_dir:
            return ""
        words = ["crashlab", "replay", outcome.case_dir]
        if self.config is not None:
            words += ["--config", str(self.config)]
        return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)

    def _examples(self) -> Iterator[tuple[Outcome, list[Finding]]]:
        """Yield one failing trial for each kind of failure, with the findings not told before."""
        told: set[str] = set()
        for outcome in sorted(self.failures, key=lambda o: not o.case_dir):
            new = [finding for finding in outcome.findings if _invariant(finding) not in told]
            if new:
                told |= {_invariant(finding) for finding in new}
                yield outcome, new

    def _violated(self, finding: Finding) -> str:
        name = _invariant(finding)
        return f"{name}, violated in {self.invariants[name]} of {len(self.judged)} judged trials"

    def _files(self, outcome: Outcome) -> Iterator[str]:
        if outcome.case_dir:
            yield f"files        {outcome.case_dir}"
            yield f"replay       {self.replay_command(outcome)}"

    @property
    def message(self) -> str:
        """What failed, in short: invariant, fault, seed, files and command for each kind of failure."""
        lines = [f"{self.subject}: {self.summary}"]
        for outcome, findings in self._examples():
            lines += [f"invariant    {self._violated(finding)}" for finding in findings]
            lines += [f"fault        {outcome.case.fault}", f"seed         {outcome.case.seed}"]
            lines += self._files(outcome)
        if self.errors:
            lines.append(f"the lab broke: {_last_line(self.errors[0].error)}")
        if self.missed and not self.judged:
            lines.append(f"the fault never fired: {self.missed[0].fired}")
        return "\n".join(lines)

    def explain(self) -> str:
        """Say what failed at length, with crash point, environment and the last steps of the history."""
        lines = [f"{self.subject}: {self.summary}; stopped because: {self.stop}"]
        for outcome, findings in self._examples():
            lines += ["", *self._explain_one(outcome, findings)]
        lines += [f"\n{_last_line(outcome.error)}  (trial {outcome.trial_id})" for outcome in self.errors[:3]]
        return "\n".join(lines)

    def _explain_one(self, outcome: Outcome, findings: list[Finding]) -> Iterator[str]:
        case, env = outcome.case, self.environment
        yield f"SEED         {case.seed}  (trial {outcome.trial_id} of seed {self.seed})"
        if env:
            yield (
                f"ENVIRONMENT  {env.get('os', '')}, Python {env.get('python', '')}, "
                f"SQLite {env.get('sqlite', '')}, {env.get('file_system', '')}"
            )
        yield f"FAULT        {case.fault}  (fault class: {findings[0].identity.fault_class})"
        if case.params:
            yield f"PARAMETERS   {' '.join(f'{name}={value}' for name, value in sorted(case.params.items()))}"
        yield f"CRASH POINT  {outcome.fired or '-'}; in phase: {outcome.phase or '-'}; {outcome.acked} steps acked"
        for finding in findings:
            yield f"FINDING      {self._violated(finding)}"
            yield f"             {finding.message}"
        tail = _history_tail(Path(outcome.case_dir)) if outcome.case_dir else ""
        if tail:
            yield f"HISTORY      … {tail}"
        yield from self._files(outcome)

    def assert_passed(self, *, judged_min: int = 1) -> None:
        """Raise unless no trial failed, the lab was sound, and at least `judged_min` trials were judged.

        Raises:
            TrialsFailedError: naming invariant, fault, seed, files and the command that replays it.
        """
        __tracebackhide__ = True
        if self.failures or self.errors:
            raise TrialsFailedError(self.message)
        if len(self.judged) < judged_min:
            raise TrialsFailedError(
                f"not enough evidence: {len(self.judged)} trials were judged, at least {judged_min} are wanted\n"
                + self.message
            )


def _invariant(finding: Finding) -> str:
    return f"{finding.identity.oracle}/{finding.identity.invariant}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason is known"


def _history_tail(case_dir: Path) -> str:
    """Return the last steps of a kept trial in a few words; empty if there are none to read."""
    try:
        with open(case_dir / "history.ndjson", "rb") as file:
            lines = file.read(_HISTORY_BYTES_MAX).splitlines()
        records = [msgspec.json.decode(line) for line in lines]
    except (OSError, msgspec.DecodeError):
        return ""
    steps = sorted((r for r in records if "state" in r), key=lambda r: (r["begin_ns"], r["begin_seq"]))
    return ", ".join(f"{step['lane']} {step['seq']} {step['state']}" for step in steps[-_HISTORY_STEPS:])
