"""`crashlab run`: trials of one subject under faults given by their text."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from crashlab.cli.budgets import SECONDS, Budget, budgets_option
from crashlab.cli.executors import ExecutorChoice, executor_option
from crashlab.cli.options import (
    FORMATS,
    config_option,
    examples,
    param_option,
    results_option,
    seed_option,
    subject_option,
    workspace_option,
)
from crashlab.cli.program_options import parse_program, program_arguments
from crashlab.cli.report_formats import open_output, report_format_option, require_only
from crashlab.cli.run_kills import kills_options, run_kills
from crashlab.cli.run_program import program_options, run_program
from crashlab.cli.run_subject import RunOptions, run_subject
from crashlab.engine.program.kills.moments import parse_hit
from crashlab.errors import UsageError

TRIALS_MAX = 1_000_000
_OF_SUBJECTS = ("subject", "config_path", "params", "executor", "resume")
_OF_PLAN = ("subject", "faults", "params", "seed", "results")
_OF_STATES = ("states", "restarts", "via")
_OF_TRIALS = ("trials", "budget", "slots")
_OF_PROGRAM = ("ack_on", "restart", "maps", "timeout")


@click.command(
    short_help="Trials of a subject under faults; or any program, behind --.",
    epilog=examples(
        "crashlab run",
        "crashlab run --fault 'kill@phase=commit#3 delay=40us' --fault 'hangup@ack#5 on=handle' --trials 200",
        "crashlab run --subject app --param commit_every=10 --fault 'kill@ack#17' --trials 20",
        "crashlab run --fault 'states@torn#20000' --fault 'states@kill#5000' --trials 8 --executor processes=2",
        "crashlab run --resume .crashlab/runs/run-0001 --trials 200",
        "crashlab run -- python app.py",
        "crashlab run --ack-on 'done (\\d+)' --restart 'python app.py --check' -- python app.py",
        "crashlab run --fault kill --trials 40 --ack-on 'done (\\d+)' -- python app.py",
        exit_codes="0 no failures · 1 failures · 2 usage · 3 no evidence · 130 interrupted.",
    ),
)
@subject_option
@config_option
@click.option(
    "--fault", "faults", multiple=True, default=("kill@ack#10",), show_default=True, help="A fault's text form."
)
@click.option(
    "--trials",
    type=click.IntRange(1, TRIALS_MAX),
    show_default="100; 1 for each fault if all are computed crash states",
    help="Trials in all.",
)
@param_option
@seed_option
@budgets_option
@executor_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with the run in this directory, where its records end.",
)
@click.option(
    "--slots",
    "--jobs",
    "slots",
    type=click.IntRange(0, 256),
    default=0,
    help="Trials in flight at once (default: cores + 1; of a COMMAND: cores).",
)
@results_option
@workspace_option
@report_format_option
@program_arguments
def run(
    subject: str | None,
    config_path: Path | None,
    faults: tuple[str, ...],
    trials: int | None,
    params: tuple[str, ...],
    seed: int,
    budget: Budget,
    executor: ExecutorChoice,
    resume: Path | None,
    slots: int,
    results: Path | None,
    workspace: str | None,
    formats: tuple[str, ...],
    command: tuple[str, ...],
    **of_command: Any,
) -> int:
    """Run trials of a subject under one or more faults and judge each; or put COMMAND under the lab, unmodified.

    COMMAND, a program behind `--`, runs once in a private copy of the working directory and is recorded.
    Kills and power losses at every point are computed, and every database must then be as after one of its commits.
    With --fault kill (term, hup, int) COMMAND is any program, run and killed for real, --trials times.
    """
    output = open_output(formats)
    if command:
        context = click.get_current_context()
        if context.get_parameter_source("faults") is ParameterSource.COMMANDLINE:
            _only_beside(context, _OF_SUBJECTS + _OF_STATES, "real kills of a COMMAND do not take it")
            budget.require_time_only("real kills of a COMMAND take a DURATION")
            return run_kills(
                kills_options(
                    tuple(parse_hit(text) for text in faults),
                    parse_program(command, **{name: of_command[name] for name in _OF_PROGRAM}),
                    command,
                    of_command["restart"],
                    of_command["maps"],
                    trials=trials,
                    seed=seed,
                    seconds=budget.seconds or SECONDS,
                    jobs=slots,
                    copy_max=of_command["copy_max"],
                    workspace=workspace,
                    results=results,
                ),
                output,
            )
        _only_beside(context, _OF_SUBJECTS + _OF_TRIALS, "a COMMAND behind -- takes it with --fault kill alone")
        require_only(output, FORMATS, "a COMMAND whose crash states are computed keeps no records of trials")
        options = program_options(command, seed=seed, workspace=workspace, results=results, **of_command)
        return run_program(options, output)
    if resume is not None:
        _only_beside(click.get_current_context(), _OF_PLAN, "with --resume the run's records tell it")
    return run_subject(
        RunOptions(
            config_path,
            subject,
            faults,
            trials,
            params,
            seed,
            budget,
            slots,
            executor,
            results,
            workspace,
            resume,
        ),
        output,
    )


def _only_beside(context: click.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options that do not go with this form."""
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given = {"config_path": "config", "params": "param", "slots": "jobs", "faults": "fault"}.get(name, name)
            of_subject = name in _OF_SUBJECTS and context.params["command"]
            said = "is about a subject of crashlab.toml; a COMMAND behind -- does not take it"
            raise UsageError(f"--{given} {said if of_subject else f'is given: {why}'}")
