"""What the command line says about a COMMAND, for both of its forms: computed crashes and real kills."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from crashlab.cli.options import FiniteRange
from crashlab.engine.program.roads import AUTO, ROADS
from crashlab.errors import UsageError
from crashlab.model.program import Program


def parse_maps(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Take `REAL=COPY` apart.

    Raises:
        UsageError: no `=`.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (real, equals, inside) in zip(texts, pairs, strict=True):
        if not (real and equals and inside):
            raise UsageError(f"--map {text!r}: expected REAL=COPY, a path and where it is copied to")
    return tuple((real, inside) for real, _, inside in pairs)


def python_of(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command with `python` standing for this Python where there is none on the PATH."""
    if command and command[0] in ("python", "python3") and shutil.which(command[0]) is None:
        return (sys.executable, *command[1:])
    return command


def parse_program(
    command: tuple[str, ...], *, ack_on: str = "", restart: str = "", maps: tuple[str, ...] = (), timeout: float = 60.0
) -> Program:
    """Return the program that a command line tells of.

    Raises:
        UsageError: a pattern or a command that is none.
    """
    try:
        re.compile(ack_on)
    except re.error as error:
        raise UsageError(f"--ack-on {ack_on!r}: {error}; expected a regular expression such as 'done (\\d+)'") from None
    try:
        again = python_of(tuple(shlex.split(restart, posix=os.name != "nt")))
    except ValueError as error:
        raise UsageError(
            f"--restart {restart!r}: {error}; expected a command such as 'python app.py --check'"
        ) from None
    return Program(python_of(command), ack_on, again, parse_maps(maps), timeout)


def replay_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a click command COMMAND and what is told again when a killed run of it is replayed."""
    for decorate in (
        click.argument("command", nargs=-1, type=click.UNPROCESSED),
        click.option("--map", "maps", multiple=True, metavar="REAL=COPY", help=_HELP["map"]),
        click.option("--restart", default="", metavar="COMMAND", help=_HELP["restart-again"]),
    ):
        function = decorate(function)
    return function


def program_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add COMMAND and its options to a click command; they arrive as the arguments of `program_options`."""
    for decorate in (
        click.argument("command", nargs=-1, type=click.UNPROCESSED),
        click.option("--copy-max", "copy_max", type=click.IntRange(1), default=256, help=_HELP["copy-max"]),
        click.option("--restarts", type=click.IntRange(1, 10_000), default=20, help=_HELP["restarts"]),
        click.option("--via", type=click.Choice(ROADS), default=AUTO, help=_HELP["via"]),
        click.option("--states", type=click.IntRange(100, 100_000_000), default=100_000, help=_HELP["states"]),
        click.option("--timeout", type=FiniteRange(0.1, 86_400), default=60.0, help=_HELP["timeout"]),
        click.option("--map", "maps", multiple=True, metavar="REAL=COPY", help=_HELP["map"]),
        click.option("--restart", default="", metavar="COMMAND", help=_HELP["restart"]),
        click.option("--ack-on", default="", metavar="REGEX", help=_HELP["ack-on"]),
    ):
        function = decorate(function)
    return function


_HELP = {
    "ack-on": "COMMAND: each line of output that matches is an ack; a group catches what it acks.",
    "restart": "COMMAND: its own start-up, run on sampled crash states.",
    "map": "COMMAND: copy a file or directory from elsewhere into the private copy; repeatable.",
    "timeout": "COMMAND: end it after so many seconds. [default: 60]",
    "via": "COMMAND: how it is recorded; auto: by the tap where that sees all, else at its system calls (Linux).",
    "states": "COMMAND: crash states of each database under each model. [default: 100000]",
    "restarts": "COMMAND: how many crash states to restart from. [default: 20]",
    "restart-again": "COMMAND: the restart that a killed run's finding came from.",
    "copy-max": "COMMAND: MiB of the working directory that may be copied. [default: 256]",
}
