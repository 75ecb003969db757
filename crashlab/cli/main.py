"""The command group, and the mapping of errors to exit codes."""

import contextlib
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from crashlab import __version__
from crashlab.errors import CrashlabError, LabError, LimitError, did_you_mean
from crashlab.report.plain import one_line

COMMANDS = {
    "init": "crashlab.cli.init:init",
    "doctor": "crashlab.cli.doctor:doctor",
    "run": "crashlab.cli.run:run",
    "gate": "crashlab.cli.gate:gate",
    "cadence": "crashlab.cli.cadence:cadence",
    "report": "crashlab.cli.report:report",
    "replay": "crashlab.cli.replay:replay",
    "reduce": "crashlab.cli.reduce:reduce",
    "repro": "crashlab.cli.repro:repro",
    "autopsy": "crashlab.cli.autopsy:autopsy",
    "salvage": "crashlab.cli.salvage:salvage",
    "schedules": "crashlab.cli.schedules:schedules",
    "hazards": "crashlab.cli.hazards:hazards",
    "planted": "crashlab.cli.planted:planted",
    "corpus": "crashlab.cli.corpus:corpus",
    "trend": "crashlab.cli.trend:trend_command",
    "bench": "crashlab.cli.bench:bench",
    "completion": "crashlab.cli.completion:completion",
}
EXIT_USAGE = 2
_PLAINER = {
    "is not a valid integer range": "is no whole number",
    "is not a valid float range": "is no number",
    "is not a valid float": "is no number",
}
EXIT_INTERRUPTED = 130
_ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


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

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but for its answer to a broken pipe: code 1, which here would say NO-GO."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _NobodyReadsError from None
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                raise  # click ends the line that ^C was echoed on
            raise click.Abort from None


class _NobodyReadsError(Exception):
    """Standard output has no reader any more."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="crashlab")
def cli() -> None:
    """Find out what your SQLite program loses when it is killed, and by which mechanism.

    \b
    Examples:
      crashlab init                        a configuration and a first test for your project
      crashlab run -- python app.py        an unmodified program, crashed at every point
      crashlab run --fault 'kill@ack#17'   one fault, many trials
      crashlab gate                        may this program go live?
      crashlab autopsy state.db            what happened to this database?
      crashlab repro s38                   a console closed mid-WAL, explained
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with a documented code; bad input is one line, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a narrow code page is no reason to lose the answer
    with _ended_politely():
        code = _run(list(args) if args is not None else None)
    sys.exit(code)


def _run(args: list[str] | None) -> int:
    """Run a command and return its exit code; whatever it prints has been pushed out by then."""
    try:
        result = cli.main(args=args, prog_name="crashlab", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        hint = f" (try '{error.ctx.command_path} --help')" if isinstance(error, click.UsageError) and error.ctx else ""
        _say(_plainer(error) + hint)
        return EXIT_USAGE
    except CrashlabError as error:
        _say(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except (BrokenPipeError, _NobodyReadsError):
        _read_no_more()
        return EXIT_INTERRUPTED
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f" ({error.filename})" if error.filename else ""
        _say(f"{'the disk is full' if full else 'the system refused'}: {error.strerror or error}{where}")
        return LimitError.exit_code if full else LabError.exit_code


def _plainer(error: click.ClickException) -> str:
    """What click says, with the nearest choice for a wrong one and a plain word for a number."""
    text = error.format_message()
    for said, plain in _PLAINER.items():
        text = text.replace(said, plain)
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param is not None else None
    wrong = re.match(r"'(.*)' is not one of ", error.message)
    if isinstance(kind, click.Choice) and wrong is not None:
        text = text.rstrip(".") + did_you_mean(wrong[1], map(str, kind.choices))
    return text


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that closed takes nothing
        click.echo(f"crashlab: {one_line(text)}", err=True)


def _read_no_more() -> None:
    """Nobody reads us any more: be quiet, or the flush at exit would complain and change the exit code."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def _ended_politely() -> Iterator[None]:
    """Take an end asked for (SIGTERM, a terminal that closes) like Ctrl-C, so that everything is cleaned up."""
    before = {}
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
            with contextlib.suppress(ValueError):  # not in the main thread: then it is not ours to say
                before[number] = signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
