"""`crashlab planted`: does the lab find the bugs that were planted for it?"""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from crashlab.cli.options import (
    FiniteRange,
    Output,
    config_option,
    console_for_people,
    examples,
    format_option,
    open_config,
    seed_option,
    slots_option,
    workspace_option,
)
from crashlab.decide.planted import Planted, PlantedResult, Told, registered, run_planted
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError, did_you_mean


@click.command(
    short_help="Does the lab find the bugs that were planted for it?",
    epilog=examples(
        "crashlab planted --limit 60s",
        "crashlab planted --format json=planted.json",
        exit_codes="0 every bug caught and every twin clean · 1 not · 2 usage · 3 the lab broke.",
    ),
)
@click.argument("names", nargs=-1)
@config_option
@seed_option
@slots_option
@click.option("--limit", type=FiniteRange(1, 3600), default=60.0, show_default=True, help="Seconds for each bug.")
@workspace_option
@format_option
def planted(
    names: tuple[str, ...],
    config_path: Path | None,
    seed: int,
    slots: int,
    limit: float,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Run every planted bug and its correct twin: which check catches it, on which road, after how many trials.

    NAMES choose some, by id or by the name under which crashlab.toml registers them in [planted]; default: all.
    """
    output = Output(formats)
    chosen = _chosen(config_path, names)
    path = open_config(config_path).import_path
    results: list[PlantedResult] = []
    if output.for_people:
        click.echo(_line(("bug", "check", "trials", "twin", "seconds", "road", "result")))
    with Workspace(workspace) as space, contextlib.ExitStack() as stack:
        found = run_planted(
            chosen, space, path=path, seed=seed, slots=slots or 2, seconds=limit, progress=_count(stack)
        )
        for result in found:
            results.append(result)
            if output.for_people:
                click.echo(_row(result))
    if not output.for_people:
        click.echo(_encode(output.stdout, results), nl=False)
    else:
        caught = sum(result.told is Told.CAUGHT for result in results)
        console_for_people().print(
            f"{caught} of {len(results)} caught, their twins clean; seed {seed}", highlight=False
        )
    output.save(lambda form: _encode(form, results))
    told = {result.told for result in results}
    if told & {Told.NOT_CAUGHT, Told.TWIN_NOT_CLEAN}:
        return 1
    return 3 if Told.ERROR in told else 0


def _chosen(config_path: Path | None, names: tuple[str, ...]) -> list[Planted]:
    config = open_config(config_path)
    if not config.planted:
        raise UsageError("crashlab.toml registers no planted bugs; expected [planted] with NAME = 'module:attr'")
    groups = registered(config)
    by_id = {each.id: each for group in groups.values() for each in group}
    chosen: dict[str, Planted] = {}
    for name in names or tuple(groups):
        if name in groups:
            chosen |= {each.id: each for each in groups[name]}
        elif name in by_id:
            chosen[name] = by_id[name]
        else:
            known = (*groups, *by_id)
            raise UsageError(f"unknown planted bug {name!r}; there are {len(by_id)}{did_you_mean(name, known)}")
    return list(chosen.values())


def _count(stack: contextlib.ExitStack) -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _of: None
    stack.callback(lambda: sys.stderr.write("\r\x1b[K"))

    def show(done: int, of: int) -> None:
        sys.stderr.write(f"\r\x1b[K{done} of {of}")
        sys.stderr.flush()

    return show


def _line(cells: tuple[str, ...]) -> str:
    widths = (34, 34, 6, 5, 7, 17, 0)
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _row(result: PlantedResult) -> str:
    trials, twin = f"{result.trials:>6}", f"0/{result.twin_trials}" if result.told is Told.CAUGHT else "-"
    line = _line((result.id, result.check, trials, twin, f"{result.seconds:7.1f}", result.road, str(result.told)))
    return line if result.told is Told.CAUGHT else f"{line}: {result.detail}"


def _encode(form: str, results: list[PlantedResult]) -> bytes:
    if form == "json":
        return msgspec.json.encode(results) + b"\n"
    if form == "ndjson":
        return b"".join(msgspec.json.encode(result) + b"\n" for result in results)
    return "".join(f"{_row(result)}\n" for result in results).encode()
