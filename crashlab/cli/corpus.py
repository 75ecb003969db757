"""`crashlab corpus`: failing cases kept beyond their runs, and run again."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from crashlab.cli.options import Output, config_option, examples, format_option, open_config, workspace_option
from crashlab.cli.reduce import Reducer
from crashlab.decide.config import Config
from crashlab.decide.duration import parse_duration
from crashlab.engine.campaign import Limits
from crashlab.engine.carried import carried_trace
from crashlab.engine.casedir import load_case
from crashlab.engine.corpus.entry import Checked, Entry, find_cases, load_entries, load_entry, note_check
from crashlab.engine.corpus.keep import PASSES, keep, superfluous
from crashlab.engine.events import Emitter
from crashlab.engine.moments import require_fit
from crashlab.engine.reduce import ReduceLimits, parsed_state
from crashlab.engine.replay import replay
from crashlab.engine.results.plan import own_version
from crashlab.engine.road import RealRoad
from crashlab.engine.source import commit_of
from crashlab.engine.timeline import annotate_case
from crashlab.engine.trace_road import TraceRoad
from crashlab.engine.workspace import Workspace
from crashlab.errors import CrashlabError, UsageError
from crashlab.faults.states import StatesFault
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.report.plain import one_line
from crashlab.states.models import Policy
from crashlab.states.state import KILL, CrashState

ACTIONS = ("list", "keep", "check", "minimise", "prune")
FAILS, OTHERWISE, NOT_JUDGED = "fails", "fails otherwise", "not judged"
TIMES = 20
TRIES = 2000
STATES = 2000
"""Crash states of a run recorded anew that are judged when a case is checked."""


@click.command(
    short_help="Failing cases kept beyond their runs: keep, check, minimise, prune.",
    epilog=examples(
        "crashlab corpus keep .crashlab/runs/run-0001",
        "crashlab corpus check",
        "crashlab corpus minimise --budget 30s",
        "crashlab corpus list --format json",
        exit_codes="0 done, none fails · 1 check: some still fail · 2 usage · 3 check: some could not be judged.",
    ),
)
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--corpus", "root", type=click.Path(path_type=Path), help="Where the corpus is (default: corpus in the results)."
)
@click.option(
    "--times",
    type=click.IntRange(1, 100_000),
    default=TIMES,
    show_default=True,
    help="How often a real kill is run again; a computed state's run is recorded once.",
)
@click.option("--budget", default="60s", show_default=True, metavar="DURATION", help="Time for each case minimised.")
@config_option
@click.option("--slots", type=click.IntRange(0, 256), default=0, help="Trials in flight at once (default: cores).")
@workspace_option
@format_option
def corpus(
    action: str,
    paths: tuple[Path, ...],
    root: Path | None,
    times: int,
    budget: str,
    config_path: Path | None,
    slots: int,
    workspace: str | None,
    formats: tuple[str, ...],
) -> int:
    """Keep failing cases, one of each finding, the smallest; say which still fail.

    keep takes case directories, or runs and all their cases; list, check, minimise and prune take the names of cases,
    by default all. check runs the program as it is now: it is killed again, or its run is recorded again and the
    crash states of that are judged.
    """
    output = Output(formats)
    if "ndjson" in (output.stdout, *output.files.values()):
        raise UsageError("--format ndjson: a corpus has no such form; text and json are there")
    limits = ReduceLimits(TRIES, parse_duration(budget, "--budget"))
    config = open_config(config_path)
    root = root or config.results_directory / "corpus"
    if action == "keep":
        lines, entries = _keep(root, paths)
        return _tell(output, lines, entries)
    entries, damaged = load_entries(root)
    chosen = _chosen(entries, paths, root)
    if damaged and action != "list":
        raise UsageError(f"{damaged[0]} ({len(damaged)} such in the corpus {root}: mend or remove them first)")
    if action == "list":
        lines = [_line(entry) for entry in chosen] + [f"DAMAGED {line}" for line in damaged]
        return _tell(output, lines or [f"{root}: no cases; `crashlab corpus keep RUN` keeps a run's"], chosen)
    if action == "prune":
        return _prune(output, chosen)
    with Workspace(workspace) as space:
        if action == "minimise":
            done = [_minimise(config, root, entry, space, limits) for entry in chosen]
            return _tell(output, [line for line, _ in done], [entry for _, entry in done])
        checked = list(_check_all(config, chosen, space, times, slots or os.cpu_count() or 2, output))
    if not checked:
        click.echo(f"crashlab: {root}: no cases, so nothing was checked", err=True)
    return _tell(output, [], checked) or _code(checked)


def _tell(output: Output, lines: list[str], entries: list[Entry]) -> int:
    data = msgspec.json.format(msgspec.json.encode(entries)) + b"\n"
    text = "".join(f"{line}\n" for line in lines)
    if output.for_people:
        click.echo(text, nl=False)
    else:
        click.echo(data.decode(), nl=False)
    output.save(lambda name: data if name == "json" else text.encode(errors="backslashreplace"))
    return 0


def _line(entry: Entry) -> str:
    """One case, in three lines."""
    weight = entry.weight
    size = (
        f"a real kill, {weight.acked} steps acked"
        if weight.real
        else f"{weight.lost} operations lost, {weight.torn} torn, at operation {weight.moment}"
    )
    checked = "" if entry.checked is None else f"; last check: {_verdict(entry.checked)}"
    return (
        f"{one_line(entry.identity)}\n  case   {Path(entry.directory).name}\n"
        f"  fault  {one_line(entry.fault)[:160]} ({size}{checked})"
    )


def _verdict(checked: Checked) -> str:
    count = f", {checked.reproduced} of {checked.judged} failed" if checked.judged else ""
    return f"{checked.verdict}{count}" + (f" ({one_line(checked.why)[:300]})" if checked.why else "")


def _chosen(entries: list[Entry], names: tuple[Path, ...], root: Path) -> list[Entry]:
    if not names:
        return entries
    by_name = {Path(entry.directory).name: entry for entry in entries}
    for name in names:
        if name.name not in by_name:
            raise UsageError(f"no case {name.name!r} in the corpus {root}; `crashlab corpus list` names them")
    return [by_name[name.name] for name in names]


def _keep(root: Path, paths: tuple[Path, ...]) -> tuple[list[str], list[Entry]]:
    if not paths:
        raise UsageError("corpus keep: which? name case directories, or runs, such as .crashlab/runs/run-0001")
    found = [(case, case == path) for path in paths for case in find_cases(path)]
    there = {entry.identity: entry for entry in load_entries(root)[0]}
    lines: list[str] = []
    kept: dict[str, Entry] = {}
    same = 0
    for case, named in found:
        try:
            entry = load_entry(case)
        except CrashlabError as error:
            if named:
                raise
            lines.append(f"left out: {one_line(str(error))}")
            continue
        done = keep(root, entry, there.get(entry.identity))
        there[entry.identity] = kept[entry.identity] = done.entry
        if not done.changed:
            same += 1
        else:
            lines.append(f"{done.what}: {_line(done.entry)}\n  from   {case}")
    if same:
        lines.append(f"{same} cases left out: one no larger of the same finding is kept")
    return lines, list(kept.values())


def _prune(output: Output, chosen: list[Entry]) -> int:
    gone = superfluous(chosen)
    for entry, _ in gone:
        shutil.rmtree(entry.directory)
    lines = [f"removed {Path(entry.directory).name}: {why}" for entry, why in gone]
    lines.append(f"removed: {len(gone)}, kept: {len(chosen) - len(gone)}")
    return _tell(output, lines, [entry for entry, _ in gone])


def _minimise(config: Config, root: Path, entry: Entry, space: Workspace, limits: ReduceLimits) -> tuple[str, Entry]:
    """Reduce one case; the smaller one takes its place."""
    name = Path(entry.directory).name
    if entry.weight.real:
        return f"{name}: a real kill leaves nothing to reduce", entry
    scratch = Path(tempfile.mkdtemp(dir=space.root))
    try:
        made = _reduced(config, entry, space, scratch, limits)
    except CrashlabError as error:
        return f"{name}: not minimised: {one_line(str(error))}", entry
    if made is None:
        return f"{name}: minimal already", entry
    smaller = load_entry(made)
    if smaller.identity != entry.identity or not smaller.weight < entry.weight:
        return f"{name}: nothing smaller was found", entry
    done = keep(root, smaller, entry).entry
    return f"{_line(done)}\n  from   {one_line(entry.fault)[:160]}", done


def _reduced(config: Config, entry: Entry, space: Workspace, scratch: Path, limits: ReduceLimits) -> Path | None:
    directory = Path(entry.directory)
    case = load_case(directory)
    state = parsed_state(case)
    recording, trace = carried_trace(directory)
    if state is None:
        return None
    reducer = Reducer(config.subject(case.subject), space, scratch, limits)
    try:
        _, kept = reducer.run(case, state, recording, trace)
    finally:
        reducer.close()
    if kept is not None:
        annotate_case(kept)
    return kept


def _check_all(
    config: Config, chosen: list[Entry], space: Workspace, times: int, slots: int, output: Output
) -> Iterator[Entry]:
    """Run each case again, write down what it showed, and tell it as it comes."""
    commit = commit_of(config.import_path[0] if config.import_path else ".")
    for entry in chosen:
        checked = msgspec.structs.replace(
            _check(config, entry, space, times, slots), crashlab=own_version(), commit=commit.commit
        )
        note_check(Path(entry.directory), checked)
        click.echo(
            f"{_verdict(checked)}: {one_line(entry.identity)}\n  case   {Path(entry.directory).name}",
            err=not output.for_people,
        )
        yield msgspec.structs.replace(entry, checked=checked)


def _check(config: Config, entry: Entry, space: Workspace, times: int, slots: int) -> Checked:
    case = load_case(Path(entry.directory))
    try:
        subject = config.subject(case.subject)
        if entry.weight.real:
            return _killed_again(entry, case, RealRoad(subject, space), times, slots)
        return _recorded_again(entry, case, TraceRoad(subject, space))
    except CrashlabError as error:
        return Checked(NOT_JUDGED, why=str(error))


def _killed_again(entry: Entry, case: Case, road: RealRoad, times: int, slots: int) -> Checked:
    """Kill the program as it is now, `times` times."""
    try:
        with ThreadPoolExecutor(slots) as executor:
            again = replay(road, case, times, executor, Limits(slots=slots), Emitter())
    finally:
        road.close()
    why = next(iter(again.errors), "") or ("" if again.judged else "the fault never fired")
    if not again.reproduced:
        return Checked(NOT_JUDGED, why=why) if why else Checked(PASSES, 0, again.judged)
    return _failed(entry, list(again.findings), again.reproduced, again.judged)


def _recorded_again(entry: Entry, case: Case, road: TraceRoad) -> Checked:
    """Record the case's run with the program as it is now, and judge its states: the very one, if it is still one."""
    state = parsed_state(case)
    many = StatesFault((Policy.KILL if state is None or state.kind == KILL else Policy.TORN).value, STATES)
    try:
        outcome = road.run(msgspec.structs.replace(case, fault=str(many)), "check", keep=False)
        failed, judged = (outcome.states.failed, outcome.states.generated) if outcome.states else (0, 0)
        if outcome.verdict is Verdict.PASS and _fits(road, case, state):
            outcome = road.run(case, "check", keep=False)
            failed, judged = failed + (outcome.verdict is Verdict.FAIL), judged + 1
    finally:
        road.close()
    if outcome.verdict is Verdict.FAIL:
        return _failed(entry, [str(finding.identity) for finding in outcome.findings], failed, judged)
    return Checked(PASSES, 0, judged) if outcome.verdict is Verdict.PASS else Checked(NOT_JUDGED, why=outcome.error)


def _fits(road: TraceRoad, case: Case, state: CrashState | None) -> bool:
    if state is None:
        return False
    try:
        require_fit(road.recording(case).trace(), state)
    except UsageError:
        return False
    return True


def _failed(entry: Entry, identities: list[str], failed: int, judged: int) -> Checked:
    if entry.identity in identities:
        return Checked(FAILS, failed, judged)
    return Checked(OTHERWISE, failed, judged, why=f"now {identities[0]}")


def _code(checked: list[Entry]) -> int:
    verdicts = {entry.checked.verdict for entry in checked if entry.checked is not None}
    if verdicts & {FAILS, OTHERWISE}:
        return 1
    return 3 if NOT_JUDGED in verdicts else 0
