"""`crashlab schedules`: find the interleaving of connections that loses rows, not only the crash point."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from crashlab.cli.budgets import Budget, budgets_option
from crashlab.cli.engines import engine_option, parse_engine
from crashlab.cli.options import (
    Output,
    config_option,
    examples,
    open_config,
    param_option,
    parse_params,
    results_option,
    seed_option,
    workspace_option,
)
from crashlab.engine.casedir import replay_command
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.engine.schedules.campaign import Plan, Result, run_schedules
from crashlab.engine.schedules.explore import Budget as ScheduleBudget
from crashlab.engine.schedules.explore import Counted
from crashlab.engine.schedules.faults import parse_faults
from crashlab.engine.schedules.faults_foreign import parse_foreign
from crashlab.engine.schedules.generic import DRAWN, GENERIC
from crashlab.engine.schedules.orders import STEPS_MAX
from crashlab.engine.schedules.processes.programs import PROGRAMS, SEPARATOR, Programs, parse_programs
from crashlab.engine.schedules.strategies import DEFAULT_STRATEGY, EXHAUSTIVE, parse_strategy
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.case import Param
from crashlab.model.finding import Verdict
from crashlab.report.autopsy_html import require_jinja2
from crashlab.report.lanes import draw_lanes
from crashlab.report.schedules import schedules_text
from crashlab.report.schedules_page import schedules_html

SECONDS = 60.0
_EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1}
EXIT_INCONCLUSIVE = 3
FORMATS = ("text", "json", "ndjson", "html")


@click.command(
    short_help="Run connections in many orders and find the one that loses rows.",
    epilog=examples(
        "crashlab schedules --budget 10s",
        "crashlab schedules --strategy pct:3 --param mix=IIRCCO --budget 20s",
        "crashlab schedules --trials 500 --seed 7 --format json",
        exit_codes="0 none failed · 1 one failed · 2 usage · 3 no evidence · 130 interrupted.",
    ),
)
@click.argument("words", nargs=-1, metavar="[SUBJECT | -- COMMAND ::: COMMAND …]")
@config_option
@budgets_option
@click.option("--trials", type=click.IntRange(1, 10**9), help="Schedules at most.")
@click.option(
    "--strategy",
    default=str(DEFAULT_STRATEGY),
    show_default=True,
    metavar="NAME[:N]",
    help="bpr:P, pct:D, sticky:Q, rare:N, or exhaustive (of the generic workload).",
)
@seed_option
@engine_option
@click.option(
    "--actors", type=click.Choice(["threads", "processes"]), default="threads", show_default=True, help="What acts."
)
@click.option(
    "--faults",
    default="",
    metavar="KINDS",
    help="What may befall an actor at any point: kill, power, io, or several with commas. Without it nothing does.",
)
@click.option(
    "--foreign",
    default="",
    metavar="KINDS",
    help="Actors beside processes: stray, copier, unlinker, restorer, looker, apsw=DIR, or several with commas.",
)
@click.option("--database", metavar="NAME", help="Of commands: the database that they share, in the working directory.")
@click.option("--serial", is_flag=True, help="Of commands: they must leave what they leave one after another.")
@click.option(
    "--steps", type=click.IntRange(0, 100), default=STEPS_MAX, show_default=True, help="Of each lane at most; 0: all."
)
@param_option
@results_option
@workspace_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=PATH]",
    help="text, json, ndjson or html; repeatable.",
)
def schedules(
    words: tuple[str, ...],
    config_path: Path | None,
    budget: Budget,
    trials: int | None,
    strategy: str,
    seed: int,
    engine: str,
    actors: str,
    faults: str,
    foreign: str,
    database: str | None,
    serial: bool,
    steps: int,
    params: tuple[str, ...],
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Run a subject's lanes in many orders, one at a time, and judge each.

    SUBJECT is one of crashlab.toml with several lanes; without one, or as `generic`, several connections of one
    database insert, read and checkpoint at random. Control passes before any call of SQLite to its operating system
    layer. Without --faults nothing is killed and nothing fails: whatever is found, an order of calls did it alone. A
    failing schedule is made smaller, replayed call for call, told as a story, and kept as a case.

    COMMANDs are Python scripts or modules, each run whole in a process of its own, in a private copy of the working
    directory. None may fail that does not when they run one after another; what they find is told, and not kept.
    """
    output = Output(formats, FORMATS)
    if "html" in {output.stdout, *output.files.values()}:
        require_jinja2()
    config = open_config(config_path)
    if budget.states is not None:
        raise UsageError("--budget states=…: schedules have no crash states; expected a time, trials=N or findings=N")
    chosen = parse_strategy(strategy)
    programs = _programs(words, database, serial=serial)
    subject = words[0] if words and programs is None else None
    generic = subject in (None, GENERIC)
    given = parse_params(params)
    plan = Plan(
        subject=_subject(config, subject, given, programs),
        strategy=str(chosen),
        seed=seed,
        budget=ScheduleBudget(budget.seconds or SECONDS, trials or budget.trials or 0, max(1, budget.findings or 1)),
        apsw=parse_engine(engine),
        actors=actors if programs is None else "processes",
        programs=programs,
        foreign=_foreign(foreign, actors, alone=programs is not None),
        faults=parse_faults(faults),
        steps_max=steps,
        mix=_mix(given) if generic else DRAWN,
    )
    if chosen.kind == EXHAUSTIVE and not generic:
        raise UsageError(
            "--strategy exhaustive is of the generic workload; expected bpr, pct, sticky or rare for a subject"
        )
    directory = make_run_directory(results or config.results_directory, "schedules")
    try:
        with Workspace(workspace) as space, _Progress() as progress:
            keep = directory / "cases" if programs is None else None
            result = run_schedules(plan, space.make_run(), keep=keep, told=progress)
    finally:
        drop_run_directory(directory)  # only if there is nothing in it
    for found in result.found:
        draw_lanes(found)
    _report(result, output, config_path)
    return _EXIT.get(result.verdict, EXIT_INCONCLUSIVE)


def _programs(words: tuple[str, ...], database: str | None, *, serial: bool) -> Programs | None:
    """Read commands parted by `:::`; None for a subject."""
    if SEPARATOR not in words:
        if len(words) > 1:
            raise UsageError(f"{len(words)} words: expected one SUBJECT, or `-- COMMAND ::: COMMAND`")
        if database or serial:
            raise UsageError("--database and --serial are of commands: expected `-- COMMAND ::: COMMAND`")
        return None
    if not database:
        raise UsageError(
            "which database do the commands share? Give its name in the working directory: --database app.db"
        )
    return Programs(parse_programs(words), str(Path.cwd()), database, serial)


def _foreign(text: str, actors: str, *, alone: bool) -> tuple[str, ...]:
    kinds = parse_foreign(text)
    if kinds and (alone or actors != "processes"):
        raise UsageError("--foreign goes beside a subject's processes: expected --actors processes, and no COMMANDs")
    return kinds


def _subject(config: Any, name: str | None, given: dict[str, str], programs: Programs | None) -> Subject | None:
    if programs is not None:
        return Subject(PROGRAMS, PROGRAMS)
    return None if name in (None, GENERIC) else _with(config.subject(str(name)), given)


def _with(subject: Subject, given: dict[str, str]) -> Subject:
    if not given:
        return subject
    typed: dict[str, Param] = {name: _value(text) for name, text in given.items()}
    return msgspec.structs.replace(subject, params={**subject.params, **typed})


def _value(text: str) -> Param:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _mix(given: dict[str, str]) -> str:
    unknown = given.keys() - {"mix"}
    if unknown:
        raise UsageError(f"--param {min(unknown)}: the generic workload takes mix=LETTERS (of I, R, C, O) and no other")
    return given.get("mix", DRAWN)


class _Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and not os.environ.get("NO_PROGRESS")

    def __call__(self, counted: Counted) -> None:
        if self._shown:
            click.echo(f"\r{counted.schedules} schedules, {counted.seconds:.0f} s ", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)

    def __enter__(self) -> "_Progress":
        return self


def _report(result: Result, output: Output, config_path: Path | None) -> None:
    text = schedules_text(result)
    again = "" if config_path is None else str(config_path)
    commands = {found.case_dir: replay_command(found.case_dir, again) for found in result.found if found.case_dir}
    if commands:
        body, _, last = text.rstrip("\n").rpartition("\n")
        text = "\n".join([body, *(f"  replay  {command}" for command in commands.values()), last]) + "\n"
    click.echo(text, nl=False, err=not output.for_people)

    def made(name: str) -> bytes:
        if name == "text":
            return text.encode(errors="backslashreplace")
        if name == "html":
            return schedules_html(result, commands).encode(errors="backslashreplace")
        return msgspec.json.encode(result) + b"\n"

    if not output.for_people:
        click.echo(made(output.stdout), nl=False)
    output.save(made)
