"""Options that several commands share, and what they mean."""

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from crashlab.decide.config import Config, find_config, load_config
from crashlab.decide.duration import parse_duration
from crashlab.errors import CrashlabError, UsageError, did_you_mean

PLAIN_WIDTH = 120
_EXAMPLES = "\b\nExamples:\n"  # \b: click leaves the lines as they are
FORMATS = ("text", "json", "ndjson")


def examples(*commands: str, exit_codes: str = "") -> str:
    """Return a command's epilog. Each example is a whole command: the tests run it."""
    shown = _EXAMPLES + "\n".join(f"  {command}" for command in commands)
    return f"{shown}\n\nExit codes: {exit_codes}" if exit_codes else shown


def _subjects(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a subject's name, from the nearest crashlab.toml; none where it cannot be read."""
    with contextlib.suppress(CrashlabError):
        return [name for name in open_config(None).subjects if name.startswith(incomplete)]
    return []


def _formats(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="The crashlab.toml to use (default: the nearest)."
)
subject_option = click.option("--subject", help="Which subject of crashlab.toml to judge.", shell_complete=_subjects)
subjects_option = click.option(
    "--subject",
    "subjects",
    multiple=True,
    help="Which subject of crashlab.toml to judge; repeatable.",
    shell_complete=_subjects,
)
seed_option = click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="The seed.")
results_option = click.option("--results", type=click.Path(path_type=Path), help="Where records go.")
workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, exists=True),
    help="Where trials run (default: tmpfs if there is one).",
)
slots_option = click.option(
    "--slots", type=click.IntRange(0, 256), default=0, help="Trials in flight at once (default: cores + 1)."
)
format_option = click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=PATH]",
    help="text, json or ndjson; repeatable.",
    shell_complete=_formats,
)
param_option = click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="Set a parameter; repeatable."
)


class Output:
    """Where the formats asked for go: at most one on standard output, others to new files."""

    def __init__(self, formats: tuple[str, ...], known: tuple[str, ...] = FORMATS) -> None:
        self.stdout = ""
        self.files: dict[Path, str] = {}
        for entry in formats or ("text",):
            name, equals, path = entry.partition("=")
            if name not in known:
                raise UsageError(f"unknown format {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")
            if equals:
                self.files[self._new_file(entry, path)] = name
            elif self.stdout:
                raise UsageError(
                    f"--format {self.stdout} and {name} both go to standard output; give one of them =PATH"
                )
            else:
                self.stdout = name

    def _new_file(self, entry: str, path: str) -> Path:
        target = Path(path)
        if not path:
            raise UsageError(f"--format {entry}: no path after '='; expected NAME=PATH, or NAME for standard output")
        if os.path.lexists(target):
            raise UsageError(f"--format {entry}: {path} exists and is never overwritten; name a new file")
        if target in self.files:
            raise UsageError(f"--format {entry}: {path} is named twice; give each format a file of its own")
        if not target.parent.is_dir():
            raise UsageError(f"--format {entry}: the directory {target.parent} does not exist")
        if not os.access(target.parent, os.W_OK):
            raise UsageError(f"--format {entry}: the directory {target.parent} cannot be written")
        return target

    @property
    def for_people(self) -> bool:
        """True if standard output carries text (else text goes to standard error)."""
        return self.stdout in ("", "text")

    def save(self, make: Callable[[str], bytes]) -> None:
        """Write the files asked for; `make(name)` returns a format's bytes. An existing file stays as it is.

        Raises:
            UsageError: a file could not be written.
        """
        for path, name in self.files.items():
            try:
                with open(path, "xb") as file:
                    file.write(make(name))
            except OSError as error:
                raise UsageError(f"--format {name}={path} could not be written: {error.strerror}") from None


class _PipeConsole(Console):
    """A console whose broken pipe is ours to deal with; rich would exit with code 1, which says NO-GO."""

    def on_broken_pipe(self) -> NoReturn:
        """Called inside the `except` clause of a write that failed."""
        raise BrokenPipeError


def console_for_people(*, stderr: bool = False) -> Console:
    """A console that honours NO_COLOR and is wide enough for tables where it is no terminal."""
    console = _PipeConsole(stderr=stderr)
    return console if console.is_terminal else _PipeConsole(stderr=stderr, width=PLAIN_WIDTH)


def open_config(path: Path | None) -> Config:
    """Load the configuration named, or the nearest."""
    return load_config(path if path is not None else find_config(Path.cwd()))


def pick_subject(config: Config, name: str | None) -> str:
    """Return the subject asked for, the gate's, or the only one.

    Raises:
        UsageError: it cannot be told which.
    """
    if name:
        return name
    if config.gate.subject or config.gate.subjects:
        return config.gate.subject or config.gate.subjects[0]
    if len(config.subjects) == 1:
        return next(iter(config.subjects))
    known = (
        ", ".join(sorted(config.subjects))
        or "none (no crashlab.toml here, or it names no subjects); 'crashlab init' writes one"
    )
    raise UsageError(f"which subject? name one with --subject; there are: {known}")


def parse_params(pairs: tuple[str, ...]) -> dict[str, str]:
    """Take `NAME=VALUE` pairs apart; `typed_params` knows the kinds of their values.

    Raises:
        UsageError: no `=`, or a name twice.
    """
    params: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--param {pair!r}: expected NAME=VALUE")
        if name in params:
            raise UsageError(f"--param {name}: given twice")
        params[name] = text
    return params


class FiniteRange(click.FloatRange):
    """A range of numbers; `nan`, which compares with nothing, is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click does, but for what is no number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def budget_seconds(_ctx: click.Context, _param: click.Parameter, value: Any) -> float | None:
    """Click callback: a duration."""
    return None if value is None else parse_duration(value, "--budget")


budget_option = click.option(
    "--budget", callback=budget_seconds, metavar="DURATION", help="Time in all, e.g. 90s, 10m."
)
