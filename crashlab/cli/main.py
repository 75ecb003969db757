"""The command group, and the mapping of errors to exit codes."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from crashlab import __version__
from crashlab.errors import CrashlabError, did_you_mean

COMMANDS = {
    "gate": "crashlab.cli.gate:gate",
    "run": "crashlab.cli.run:run",
    "replay": "crashlab.cli.replay:replay",
    "repro": "crashlab.cli.repro:repro",
    "doctor": "crashlab.cli.doctor:doctor",
    "bench": "crashlab.cli.bench:bench",
}
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """Loads a command when it is asked for, and suggests the nearest for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of a day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        target = COMMANDS.get(name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command {args[0]!r}; there are: {', '.join(COMMANDS)}{did_you_mean(args[0], COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crashlab")
def cli() -> None:
    """Find out what your SQLite program loses when it is killed, and by which mechanism.

    \b
    Examples:
      crashlab gate                        may this program go live?
      crashlab run --fault 'kill@ack#17'   one fault, many trials
      crashlab repro s38                   a console closed mid-WAL, explained
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with a documented code; bad input is one line, never a traceback."""
    signal.signal(signal.SIGTERM, _terminate)  # so that children and directories are cleaned up
    try:
        result = cli.main(args=list(args) if args is not None else None, prog_name="crashlab", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        hint = f" (try '{error.ctx.command_path} --help')" if isinstance(error, click.UsageError) and error.ctx else ""
        _say(" ".join(error.format_message().split()) + hint)
        code = EXIT_USAGE
    except CrashlabError as error:
        _say(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads us any more; be quiet about it
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"crashlab: {text}", err=True)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
