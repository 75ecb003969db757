"""What the plugin was told: command line over environment over ini file, checked once, in one line each.

Standard library and pytest only: this is loaded in every session.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

CONFIG_FILE = "crashlab.toml"
RESULTS = ".crashlab"
SEED_DEFAULT = 1
TRIALS_DEFAULT = 20
BUDGET_DEFAULT_S = 60.0
SEED_MAX = 2**63 - 1
TRIALS_MAX = 1_000_000
WORKERINPUT = "crashlab"

MARKER = (
    "crashlab(*, seed=None, trials=None, budget=None): what `crashlab.run` in this test uses unless the call "
    "itself says otherwise: a seed (whole number), the number of trials, and the time for them (such as 30s or 2m)."
)


@dataclass(frozen=True)
class Option:
    """One thing to set: `--crashlab-NAME`, `CRASHLAB_NAME` and `crashlab_NAME`, in this order of precedence."""

    name: str
    ini: Any
    metavar: str
    help: str

    @property
    def key(self) -> str:
        """The name as part of an identifier."""
        return self.name.replace("-", "_")


OPTIONS = (
    Option("config", "string", "PATH", f"The {CONFIG_FILE} to use (default: the one in rootdir)"),
    Option("subject", "string", "NAME", f"Which subject of {CONFIG_FILE} to judge (default: the gate's own)"),
    Option("seed", "int", "N", f"Seed of the gate and of trials (default: {SEED_DEFAULT})"),
    Option("budget", "string", "DURATION", "Time for the gate, or for each run of trials in a test, e.g. 90s or 10m"),
    Option("dir", "string", "PATH", f"Where records and failing cases go (default: {RESULTS} in rootdir)"),
    Option("db", "string", "PATH", "Let the gate also check this existing database (a consistent copy of it)"),
    Option("hazards", "string", "warn|error", "Watch the tests for what will hurt their SQLite databases later"),
    Option("hazards-ignore", "string", "ID[:GLOB],…", "Hazards to leave out, everywhere or for some paths"),
)


@dataclass(frozen=True)
class Settings:
    """The values in force, as plain data that crosses to xdist workers. Empty or None: not given.

    `given` says of each value where it came from. `shared` is the directory in which workers of one session
    find the gate's result; empty without xdist.
    """

    gate: bool = False
    config: str = ""
    subject: str = ""
    seed: int | None = None
    budget_s: float | None = None
    directory: str = ""
    database: str = ""
    given: tuple[tuple[str, str, str], ...] = ()
    shared: str = ""
    hazards: str = ""
    hazards_ignore: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """True if anybody asked for anything."""
        return self.gate or bool(self.given)


SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Register the options, one group, the same words as ini keys."""
    group = parser.getgroup("crashlab", "Crash-reliability of programs that keep their state in SQLite")
    what = "Run the same gate as `crashlab gate`, one test item per row, after the tests"
    group.addoption("--crashlab-gate", action="store_true", default=None, help=what)
    parser.addini("crashlab_gate", what, type="bool", default=False)
    for option in OPTIONS:
        group.addoption(f"--crashlab-{option.name}", metavar=option.metavar, help=option.help)
        parser.addini(f"crashlab_{option.key}", option.help, type=option.ini, default=None)


def resolve(config: pytest.Config) -> Settings:
    """Return the settings in force.

    Raises:
        pytest.UsageError: a value is not of its form.
    """
    sent = getattr(config, "workerinput", {}).get(WORKERINPUT)
    if sent is not None:  # an xdist worker does as the controller says, whatever its own environment
        return Settings(
            **{**sent, "given": tuple(map(tuple, sent["given"])), "hazards_ignore": tuple(sent["hazards_ignore"])}
        )
    here = Path.cwd()
    values: dict[str, Any] = {}
    given = []
    for option in OPTIONS:
        value, source, base = _look_up(config, option.name, option.key, here)
        if value is None:
            continue
        values[option.key] = _check(option.name, value, source, base)
        given.append((option.name, str(value), source))
    gate = config.getoption("crashlab_gate")
    if gate is None:
        gate = _truth(os.environ["CRASHLAB_GATE"]) if "CRASHLAB_GATE" in os.environ else _ini(config, "gate")
    found = values.get("config", "")
    if not found and (config.rootpath / CONFIG_FILE).is_file():
        found = str(config.rootpath / CONFIG_FILE)
    if gate and not found:
        raise pytest.UsageError(
            f"--crashlab-gate: no {CONFIG_FILE} in {config.rootpath}; write one, or name it with --crashlab-config PATH"
        )
    return Settings(
        bool(gate),
        found,
        values.get("subject", ""),
        values.get("seed"),
        values.get("budget"),
        values.get("dir", ""),
        values.get("db", ""),
        tuple(given),
        hazards=values.get("hazards", ""),
        hazards_ignore=values.get("hazards_ignore", ()),
    )


def to_worker(settings: Settings, shared: str) -> dict[str, Any]:
    """Return the settings as an xdist worker is sent them."""
    return asdict(replace(settings, shared=shared))


def _look_up(config: pytest.Config, name: str, key: str, here: Path) -> tuple[Any, str, Path]:
    """Return value, source, and the directory that a relative path starts from."""
    value = config.getoption(f"crashlab_{key}")
    if value is not None:
        return value, f"--crashlab-{name}", here
    variable = f"CRASHLAB_{key.upper()}"
    if os.environ.get(variable):
        return os.environ[variable], variable, here
    value = _ini(config, key)
    return (None if value == "" else value), f"crashlab_{key}", config.inipath.parent if config.inipath else here


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(f"crashlab_{name}")
    except (TypeError, ValueError, pytest.UsageError) as error:
        text = " ".join(str(error).split())
        raise pytest.UsageError(f"crashlab_{name} in {config.inipath or 'the ini options'}: {text}") from None


def _truth(text: str) -> bool:
    return text.strip().lower() not in ("", "0", "false", "no", "off")


def _check(name: str, value: Any, source: str, base: Path) -> Any:
    match name:
        case "seed":
            return check_whole(value, source, 0, SEED_MAX)
        case "budget":
            return check_duration(value, source)
        case "config":
            path = base / value
            if not path.is_file():
                kind = "a directory" if path.is_dir() else "not there"
                raise pytest.UsageError(f"{source}: {value} is {kind}, expected a {CONFIG_FILE} file")
            return str(path)
        case "dir":
            path = base / value
            if path.exists() and not path.is_dir():
                raise pytest.UsageError(f"{source}: {value} is a file, expected a directory to write records to")
            return str(path)
        case "db":
            return str(base / value)
        case "hazards":
            return check_hazards(value, source)
        case "hazards-ignore":
            return check_ignore(value, source)
        case _:
            return str(value)


def check_whole(value: Any, source: str, low: int, high: int) -> int:
    """Return a whole number in range.

    Raises:
        pytest.UsageError: it is none.
    """
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise pytest.UsageError(f"{source}: {value!r}, expected a whole number {low} to {high}")
    return int(text)


def check_hazards(value: Any, source: str) -> str:
    """Return "warn" or "error", or "" for off.

    Raises:
        pytest.UsageError: something else.
    """
    text = str(value)
    if text in ("off", "no"):
        return ""
    if text not in ("warn", "error"):
        raise pytest.UsageError(f"{source}: {text!r}, expected warn, error or off")
    return text


def check_ignore(value: Any, source: str) -> tuple[str, ...]:
    """Return what is to be left out.

    Raises:
        pytest.UsageError: an unknown hazard.
    """
    from crashlab.diagnosis.hazards.hazard import Ignore
    from crashlab.errors import UsageError

    entries = tuple(entry.strip() for entry in str(value).replace("\n", ",").split(",") if entry.strip())
    try:
        Ignore(entries)
    except UsageError as error:
        raise pytest.UsageError(f"{source}: {error}") from None
    return entries


def check_duration(value: Any, source: str) -> float:
    """Return seconds.

    Raises:
        pytest.UsageError: no duration above zero.
    """
    from crashlab.decide.duration import parse_duration
    from crashlab.errors import UsageError

    try:
        return parse_duration(value, source)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def marker_values(item: pytest.Item) -> dict[str, Any]:
    """Return what the item's markers say: seed, trials, budget (in seconds); the nearest marker wins.

    Raises:
        pytest.UsageError: an unknown keyword, a positional argument, or a value not of its form.
    """
    values: dict[str, Any] = {}
    for mark in item.iter_markers("crashlab"):
        where = "@pytest.mark.crashlab"
        if mark.args:
            raise pytest.UsageError(f"{where}: takes keywords only (seed, trials, budget), got {mark.args!r}")
        for name, value in mark.kwargs.items():
            source = f"{where}({name}=…)"
            match name:
                case "seed":
                    checked: Any = check_whole(value, source, 0, SEED_MAX)
                case "trials":
                    checked = check_whole(value, source, 1, TRIALS_MAX)
                case "budget":
                    checked = check_duration(value, source)
                case _:
                    from crashlab.errors import did_you_mean

                    known = ("seed", "trials", "budget")
                    raise pytest.UsageError(
                        f"{where}: no keyword {name!r}, there are: {', '.join(known)}{did_you_mean(name, known)}"
                    )
            values.setdefault(name, checked)
    return values
