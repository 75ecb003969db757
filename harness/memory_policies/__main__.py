"""`python -m harness.memory_policies`: the comparison with a database of any size, and as many kills as wanted."""

import click

from crashlab.engine.environment import environment_stamp
from harness.memory_policies.run import Conditions, compare_policies

_DEFAULTS = Conditions()


@click.command()
@click.option("--rounds", type=click.IntRange(1, 1000), default=_DEFAULTS.rounds, show_default=True)
@click.option("--pages", type=click.IntRange(100, 1_000_000), default=_DEFAULTS.pages, show_default=True)
@click.option("--writes", type=click.IntRange(50, 100_000), default=_DEFAULTS.writes, show_default=True)
@click.option("--kills", type=click.IntRange(1, 100_000), default=_DEFAULTS.kills, show_default=True)
@click.option("--kills-large", type=click.IntRange(1, 100_000), default=_DEFAULTS.kills_large, show_default=True)
@click.option("--states", type=click.IntRange(0, 1_000_000), default=_DEFAULTS.states, show_default=True)
@click.option("--autocheckpoint", type=click.IntRange(0), default=_DEFAULTS.autocheckpoint, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=_DEFAULTS.seed, show_default=True)
@click.option("--directory", type=click.Path(exists=True, file_okay=False), help="On the disk to be judged.")
def main(directory: str | None, **numbers: int) -> None:
    """PASSIVE beside TRUNCATE every 50 writes, on a small and a large database of `--pages` pages."""
    stamp = environment_stamp(directory or ".")
    click.echo(
        f"{stamp['os']} · {stamp['cores']} cores · Python {stamp['python']} · SQLite {stamp['sqlite']} · "
        f"{stamp['file_system']} · synchronous=FULL · "
        f"wal_autocheckpoint={numbers['autocheckpoint']}"
    )
    for each in compare_policies(Conditions(**numbers, directory=directory or "")):
        click.echo(f"\n{each}".rstrip())


if __name__ == "__main__":
    main()
