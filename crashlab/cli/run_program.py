"""`crashlab run -- COMMAND`: somebody's unmodified program under the lab."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from crashlab.cli.options import Output, open_config
from crashlab.cli.program_options import parse_program
from crashlab.diagnosis.autopsy.listener import TEXT as AUTOPSY
from crashlab.diagnosis.autopsy.listener import autopsy_cases
from crashlab.engine.environment import environment_stamp
from crashlab.engine.program.case import save_program_case
from crashlab.engine.program.explore import Budget, Explored, Found, explore_program
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.program.record import SECCOMP, Recording
from crashlab.engine.program.restart import Restarter, sample_states
from crashlab.engine.program.roads import AUTO, record_by
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.engine.workspace import Workspace
from crashlab.model.finding import Finding
from crashlab.model.program import Program
from crashlab.model.seed import rng_for
from crashlab.report.plain import one_line, printable

RECORD = "verdict.json"
DIRECT_MIN = 2_000
_NOT_TOLD = frozenset({"representatives", "found"})


class ProgramOptions(msgspec.Struct, frozen=True):
    """What the command line said. `copy_max`: bytes of the working directory that may be copied. `via`: of ROADS."""

    program: Program
    budget: Budget
    restarts: int
    copy_max: int
    workspace: str | None
    results: Path | None
    via: str = AUTO


class _Result(msgspec.Struct, frozen=True):
    recording: Recording
    explored: tuple[Explored, ...]
    found: tuple[Found, ...]
    restarts: int
    cases: tuple[str, ...]
    environment: dict[str, str]


def run_program(options: ProgramOptions, output: Output) -> int:
    """Record, explore, restart, report; return the exit code."""
    results = options.results or open_config(None).results_directory
    records = make_run_directory(results, "program")
    kept = False
    try:
        with Workspace(options.workspace) as space:
            result = _run(options, space, records)
        kept = True
        code = _code(result)
        data = msgspec.json.format(msgspec.json.encode(_data(result, code)))
        (records / RECORD).write_bytes(data + b"\n")
    except BaseException:
        if not kept:
            drop_run_directory(records)
        raise
    text = "\n".join(printable(line) for line in _lines(result, options, records))
    click.echo(text, err=not output.for_people)
    if output.stdout in ("json", "ndjson"):
        click.echo(_bytes(result, code, output.stdout).decode(), nl=False)
    output.save(lambda name: f"{text}\n".encode() if name == "text" else _bytes(result, code, name))
    return code


def _run(options: ProgramOptions, space: Workspace, records: Path) -> _Result:
    program = options.program

    def make_copy() -> tuple[PrivateCopy, Path]:
        area = space.make_run()
        return PrivateCopy(Path.cwd(), area, program.maps, bytes_max=options.copy_max), area

    recording, copy = record_by(options.via, program, make_copy, seed=options.budget.seed)
    space.check_room()
    explored = explore_program(recording, program.name, options.budget, space.root / "explore")
    found = [each for one in explored for each in one.found]
    restarts = 0
    if program.restart and explored:
        trace = recording.trace()
        restarter = Restarter(program.restart, copy, trace, program.timeout_s, program.name)
        for one in explored:
            rng = rng_for(options.budget.seed, "restart", one.database)
            for state in sample_states(one.representatives, options.restarts, rng):
                restarts += 1
                finding = restarter.run(state, space.root / "restart")
                if finding is not None:
                    _add(found, Found(finding, one.database, state, 1))
    cases = tuple(
        str(save_program_case(records / "cases", number, recording.directory, each, program.name))
        for number, each in enumerate(found)
    )
    autopsy_cases(map(Path, cases))
    return _Result(recording, explored, tuple(found), restarts, cases, environment_stamp(space.root))


def _add(found: list[Found], new: Found) -> None:
    for place, old in enumerate(found):
        if old.finding.identity == new.finding.identity and old.database == new.database:
            found[place] = msgspec.structs.replace(old, states=old.states + 1)
            return
    found.append(new)


def _code(result: _Result) -> int:
    if result.found:
        return 1
    return 0 if result.explored else 3


def _data(result: _Result, code: int) -> dict[str, Any]:
    ran = result.recording.ran
    return {
        "format_version": 1,
        "verdict": {0: "PASS", 1: "FAIL", 3: "MISSED"}[code],
        "program": {"exit_code": ran.code, "limit": ran.limit, "processes": ran.started, "left": ran.left},
        "via": result.recording.via,
        "databases": [
            {name: value for name, value in msgspec.to_builtins(one).items() if name not in _NOT_TOLD}
            for one in result.explored
        ],
        "restarts": result.restarts,
        "findings": [
            {
                "identity": str(each.finding.identity),
                "message": each.finding.message,
                "database": each.database,
                "fault": str(each.state),
                "states": each.states,
                "case": case,
            }
            for each, case in zip(result.found, result.cases, strict=True)
        ],
        "environment": result.environment,
    }


def _bytes(result: _Result, code: int, name: str) -> bytes:
    data = _data(result, code)
    if name == "json":
        return msgspec.json.format(msgspec.json.encode(data)) + b"\n"
    return b"".join(msgspec.json.encode(each) + b"\n" for each in data["findings"])


def _lines(result: _Result, options: ProgramOptions, records: Path) -> list[str]:
    ran = result.recording.ran
    states = sum(each.judged for one in result.explored for each in one.coverage)
    classes = sum(one.classes for one in result.explored)
    lines = []
    if not result.explored:
        lines += [
            "MISSED: the program committed nothing to a database in its working directory; there is nothing to judge",
            *(f"  it used {path}, in a temporary directory, which is not judged" for path, _ in ran.untracked),
        ]
    else:
        failed = sum(one.failed for one in result.explored)
        lines.append(
            f"{states:,} distinct crash states, {classes:,} that SQLite has to tell apart: "
            + (f"{failed:,} fail" if failed else "all as after a commit of the program's own")
        )
    if result.recording.via == SECCOMP:
        why = f", because {one_line(result.recording.why)[:200]}" if result.recording.why else ""
        lines.append(f"recorded at its system calls, by seccomp{why}")
    if ran.limit:
        lines.append(f"the program: {ran.limit}; what it had done by then was judged")
    elif ran.code:
        said = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        asks = re.search(r"EOF|terminal|\btty\b", said)
        hint = "; its standard input is empty and there is no terminal" if asks else ""
        lines.append(f"the program ended with exit code {ran.code}: {one_line(said)}{hint}")
    if ran.left:
        lines.append(f"{ran.left} of its processes still ran when it had ended; they were ended too")
    for one in result.explored:
        lines.append(f"{one.database}: {one.commits} commits, {one.promised} of them durable at once")
        lines += [f"  {coverage}" for coverage in one.coverage]
        if one.acks:
            meant = f"found again in {one.key_column}" if one.key_column else "each promising the commit before it"
            lines.append(f"  {one.acks} acks, {meant}; a legal power loss took up to {one.acks_lost}")
        if one.named:
            lines.append(f"  {one.named} files named by rows")
    if options.program.ack_on and not any(one.acks for one in result.explored):
        lines.append(f"no line of output matched --ack-on {options.program.ack_on!r}, so no ack was judged")
    if options.program.restart:
        lines.append(f"restarted from {result.restarts} crash states")
    for each, case in zip(result.found, result.cases, strict=True):
        lines += [
            f"FAIL {each.finding.identity} in {each.states:,} states",
            f"  fault      {one_line(str(each.state))[:200]}",
            f"  seen       {one_line(each.finding.message)}",
            *_autopsied(case),
            f"  replay     {_command('replay', case, each.finding, options.program)}",
            f"  reduce     {_command('reduce', case, each.finding, options.program)}",
        ]
    stamp = result.environment
    lines.append(
        f"environment: {stamp['os']}, {stamp['python']}, SQLite {stamp['sqlite']}; the run on {stamp['file_system']}"
    )
    lines.append(f"records: {records}")
    return lines


def _autopsied(case: str) -> list[str]:
    told = Path(case) / AUTOPSY
    return [f"  autopsy    {told}"] if told.exists() else []


def _command(name: str, case: str, finding: Finding, program: Program) -> str:
    words = ["crashlab", name, case]
    if finding.identity.oracle == "restart":
        words += ["--", *program.restart]
    return shlex.join(words)


def program_options(
    command: tuple[str, ...],
    *,
    ack_on: str,
    restart: str,
    maps: tuple[str, ...],
    timeout: float,
    states: int,
    restarts: int,
    copy_max: int,
    seed: int,
    via: str,
    workspace: str | None,
    results: Path | None,
) -> ProgramOptions:
    """Check what the command line said.

    Raises:
        UsageError: a pattern or a command that is none.
    """
    program = parse_program(command, ack_on=ack_on, restart=restart, maps=maps, timeout=timeout)
    budget = Budget(states=states, direct=min(states, max(DIRECT_MIN, states // 5)), seed=seed)
    return ProgramOptions(program, budget, restarts, copy_max << 20, workspace, results, via)


__all__ = ["ProgramOptions", "program_options", "run_program"]
