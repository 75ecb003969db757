"""`crashlab replay`: run a saved case again, k times."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from crashlab.cli.options import Output, config_option, format_option, open_config, slots_option, workspace_option
from crashlab.engine.campaign import Limits
from crashlab.engine.casedir import load_case
from crashlab.engine.events import Emitter
from crashlab.engine.replay import replay as replay_case
from crashlab.engine.road import RealRoad
from crashlab.engine.workspace import Workspace


@click.command(epilog="Exit codes: 0 not reproduced · 1 reproduced · 2 usage · 3 the fault never fired.")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--times", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How often.")
@config_option
@slots_option
@workspace_option
@format_option
def replay(
    case: Path, times: int, config_path: Path | None, slots: int, workspace: str | None, formats: tuple[str, ...]
) -> int:
    """Replay a case directory (or its case.json).

    A real kill is not deterministic, so the case runs several times and the answer is k of n. The case
    names a subject; its code is the one that your own crashlab.toml gives for that name.
    """
    output = Output(formats)
    loaded = load_case(case)
    config = open_config(config_path)
    subject = config.subject(loaded.subject)
    slots = slots or (os.cpu_count() or 2)
    with Workspace(workspace) as space, ThreadPoolExecutor(slots) as executor:
        road = RealRoad(subject, space)
        try:
            again = replay_case(road, loaded, times, executor, Limits(slots=slots), Emitter())
        finally:
            road.close()
    if output.stdout in ("json", "ndjson"):
        click.echo(msgspec.json.encode(again))
    else:
        click.echo(f"case {loaded.case_id}  subject {loaded.subject}  seed {loaded.seed}")
        click.echo(f"fault {loaded.fault}")
        click.echo(again.text)
        for name, count in sorted(again.findings.items()):
            click.echo(f"  {count}/{again.judged}  {name}")
        for finding in again.examples:
            click.echo(f"  seen: {finding.message}")
        for error in again.errors:
            click.echo(f"  ERROR: {error}")
    if again.reproduced:
        return 1
    return 0 if again.judged else 3
