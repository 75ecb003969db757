"""`crashlab bench`: the lab's speed as ratios, side by side in one run."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import click
import msgspec

from crashlab.cli.engines import parse_engine
from crashlab.cli.options import (
    Output,
    config_option,
    examples,
    format_option,
    open_config,
    pick_subject,
    seed_option,
    subject_option,
    workspace_option,
)
from crashlab.decide.bench import Figure, bench_kills, named_bench
from crashlab.decide.bench_autopsy import bench_autopsy
from crashlab.decide.bench_hazards import bench_hazards
from crashlab.decide.bench_program import bench_program
from crashlab.decide.bench_schedules import bench_schedules
from crashlab.decide.bench_seccomp import bench_seccomp
from crashlab.decide.bench_states import bench_states
from crashlab.decide.config import Config
from crashlab.engine.environment import environment_stamp
from crashlab.errors import UsageError, did_you_mean
from crashlab.writers.load import extend_path
from crashlab.writers.record.seccomp import seccomp_problem

OWN = ("kills", "states", "hazards", "program", "seccomp")
BY_NAME = ("autopsy", "campaign", "report", "schedules")  # a gigabyte of files, minutes: not unless asked for
Bench: TypeAlias = Callable[..., Iterator[msgspec.Struct]]


@click.command(
    short_help="The lab's speed beside what you would do instead.",
    epilog=examples(
        "crashlab bench kills --rounds 5", "crashlab bench states --format json", "crashlab bench campaign"
    ),
)
@click.argument("names", nargs=-1)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Interleaved rounds.")
@subject_option
@config_option
@seed_option
@click.option(
    "--sqlite",
    "engines",
    multiple=True,
    default=("sqlite3",),
    metavar="ENGINE",
    help="Of schedules: sqlite3, or apsw=DIR; repeatable.",
)
@workspace_option
@format_option
def bench(
    names: tuple[str, ...],
    rounds: int,
    subject: str | None,
    config_path: Path | None,
    seed: int,
    engines: tuple[str, ...],
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Measure, beside what a user would do instead. NAMES default to all.

    Benches of its own: kills, states, hazards, program, seccomp; by name only autopsy, which builds a gigabyte, and
    campaign, which takes minutes: what events and reports cost, and two dask workers beside one; report, a page
    built from a gigabyte of records; and schedules, minutes too: how soon SQLite's WAL-reset defect is found blind.
    crashlab.toml registers more under [bench] as NAME = "module:attr".
    """
    output = Output(formats)
    apsws = tuple(map(parse_engine, engines))
    config = open_config(config_path)
    known = (*OWN, *config.bench)
    for name in names:
        if name not in (*known, *BY_NAME):
            raise UsageError(
                f"unknown bench {name!r}; there are: {', '.join((*known, *BY_NAME))}"
                f"{did_you_mean(name, (*known, *BY_NAME))}"
            )
    if {"kills", "campaign"} & set(names or known):
        config.subject(pick_subject(config, subject))  # refused before anything is printed
    extend_path(config.import_path)
    benches = {name: named_bench(target, name) for name, target in config.bench.items() if name in (names or known)}
    figures: list[msgspec.Struct] = []
    if output.for_people:
        stamp = environment_stamp(workspace or ".")
        click.echo(f"{stamp['os']} · {stamp['cores']} cores · Python {stamp['python']} · SQLite {stamp['sqlite']}")
    for name in names or known:
        if not names and name == "seccomp" and (problem := seccomp_problem()) is not None:
            click.echo(f"bench seccomp is left out: {problem}", err=True)
            continue
        for figure in _figures(name, config, benches, subject, seed, rounds, workspace, apsws):
            figures.append(figure)
            if output.for_people:
                click.echo(_line(figure))
    if not output.for_people:
        click.echo(_encode(output.stdout, figures), nl=False)
    output.save(lambda form: _encode(form, figures))
    return 0


def _encode(form: str, figures: list[msgspec.Struct]) -> bytes:
    if form == "json":
        return msgspec.json.encode(figures) + b"\n"
    if form == "ndjson":
        return b"".join(msgspec.json.encode(figure) + b"\n" for figure in figures)
    return "".join(f"{_line(figure)}\n" for figure in figures).encode()


def _figures(
    name: str,
    config: Config,
    benches: Mapping[str, Bench],
    subject: str | None,
    seed: int,
    rounds: int,
    workspace: str | None,
    apsws: tuple[str, ...],
) -> Iterator[msgspec.Struct]:
    if name in benches:
        yield from benches[name](rounds=rounds)
    elif name == "states":
        yield from bench_states(seed=seed, rounds=rounds, workspace=workspace)
    elif name == "autopsy":
        yield from bench_autopsy(rounds=rounds, workspace=workspace)
    elif name == "campaign":
        from crashlab.report.bench_campaign import bench_campaign

        chosen = config.subject(pick_subject(config, subject))
        yield from bench_campaign(chosen, seed=seed, rounds=rounds, workspace=workspace)
    elif name == "report":
        from crashlab.report.bench import bench_report

        yield from bench_report(seed=seed, rounds=rounds, workspace=workspace)
    elif name == "schedules":
        yield from bench_schedules(seed=seed, rounds=rounds, workspace=workspace, engines=apsws)
    elif name == "hazards":
        yield from bench_hazards(rounds=rounds, workspace=workspace)
    elif name == "seccomp":
        yield from bench_seccomp(rounds=rounds, workspace=workspace)
    elif name == "program":
        yield from bench_program(rounds=rounds, workspace=workspace)
    else:
        chosen = config.subject(pick_subject(config, subject))
        yield from bench_kills(chosen, seed=seed, rounds=rounds, workspace=workspace)


def _line(figure: msgspec.Struct) -> str:
    if not isinstance(figure, Figure):  # a bench of the user's own may tell more than a ratio
        return str(figure)
    return (
        f"{figure.name}: {figure.rate:.1f} {figure.unit} beside {figure.baseline:.1f} = "
        f"{figure.ratio:.2f}x (median of {figure.rounds} rounds, {figure.ratio_min:.2f} to {figure.ratio_max:.2f})"
        + (f"; wanted: {figure.wanted}" if figure.wanted else "")
    )
