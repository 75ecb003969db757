"""`crashlab.toml`: subjects by name, the gate's grid, the policy."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from crashlab.decide.duration import parse_duration
from crashlab.decide.layers import PROFILES, as_layer, merge_gate, profile_layers
from crashlab.decide.schedule_settings import SchedulesConfig, check_schedules
from crashlab.decide.study.settings import StudyConfig, check_study
from crashlab.engine.subject import Subject
from crashlab.errors import ConfigError, did_you_mean
from crashlab.model.case import Param
from crashlab.model.phase import Phase

FILE = "crashlab.toml"
FILE_BYTES_MAX = 1 << 20
TRIALS_MAX = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")  # what a case file takes as a subject's name


class SubjectConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[subjects.NAME]`. `controls`: planted bugs, by id, that its gate must catch; `gate`: settings of `[gate]` that
    are different for this subject; `study`: its axes, instead of `[study]`'s.
    """

    workload: str
    params: dict[str, Param] = {}
    controls: list[str] = []
    gate: dict[str, Any] = {}
    study: StudyConfig | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gate.policy]`: what turns evidence into a decision.

    `advisories` and `file_system`: "warn" shows a row, "no-go" decides. `phase_hits_min`: fewer kills
    inside a phase make the gate INCONCLUSIVE. `trials_min`: fewer judged trials do, too.
    """

    advisories: Literal["warn", "no-go"] = "warn"
    file_system: Literal["warn", "no-go"] = "warn"
    phase_hits_min: int = 30
    trials_min: int = 1000


class TraceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gate.trace]`: the computed crash states. `enabled=false` leaves these rows out.

    `synchronous` names the subject's parameter that sets `PRAGMA synchronous`; with it a power loss is judged
    at FULL and at NORMAL, without it at the program's own. `params` are set in the recorded run, `io_params`
    in the short run of the I/O sweep. `power_states` (for each setting), `kill_states`: crash states looked
    at; `direct_max`: of those that no class covers; `recovery`: of so many classes of each model the recovery
    is crashed, too. `seconds` bounds each row.
    """

    enabled: bool = True
    synchronous: str = "synchronous"
    params: dict[str, Param] = {}
    io_params: dict[str, Param] = {}
    steps_max: int = 100
    io_steps: int = 12
    power_states: int = 400_000
    kill_states: int = 260_000
    direct_max: int = 250
    recovery: int = 4
    seconds: float = 60.0


class GateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gate]`. `grid` maps parameters to values; `weights` may weigh the values of a parameter;
    `rows_by` names the parameters whose values make the table's rows (default: all of the grid).

    `unreachable` names, per phase, parameter values under which the program never enters it (a loop that
    is off has no checkpoint), so that no kill is wasted there. `subjects` are judged one after another when no
    one is named. `profiles` holds settings that `--profile` lays over these.
    """

    subject: str = ""
    subjects: list[str] = []
    trials: int = 5200
    budget: str = "115s"
    acks_max: int = 40
    rows_by: list[str] = []
    grid: dict[str, list[Param]] = {}
    weights: dict[str, list[float]] = {}
    unreachable: dict[str, dict[str, Param]] = {}
    policy: Policy = Policy()
    trace: TraceConfig = TraceConfig()
    schedules: SchedulesConfig = SchedulesConfig()
    profiles: dict[str, dict[str, Any]] = {}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `path`: directories for imports, relative to the file; `results`: where records go."""

    subjects: dict[str, SubjectConfig] = {}
    gate: GateConfig = GateConfig()
    study: StudyConfig = StudyConfig()
    bench: dict[str, str] = {}
    planted: dict[str, str] = {}
    path: tuple[str, ...] = (".",)
    results: str = ".crashlab"
    root: str = "."

    def subject(self, name: str) -> Subject:
        """Return a subject by its name.

        Raises:
            ConfigError: there is none of that name.
        """
        found = self.subjects.get(name)
        if found is None:
            known = ", ".join(sorted(self.subjects)) or "none; 'crashlab init' writes a crashlab.toml"
            raise ConfigError(f"unknown subject {name!r}; {FILE} has: {known}{did_you_mean(name, self.subjects)}")
        return Subject(name, found.workload, self.import_path, found.params)

    def study_for(self, name: str) -> StudyConfig:
        """Return the settings of a subject's cadence study."""
        own = self.subjects[name].study if name in self.subjects else None
        return self.study if own is None else own

    def lanes_for(self, name: str, gate: GateConfig) -> Subject:
        """Return the subject whose lanes are explored for this one: itself, or what `gate.schedules.subject` names."""
        return self.subject(gate.schedules.subject or name)

    def gate_for(self, name: str, profile: str = "") -> GateConfig:
        """Return the gate's settings for a subject, in a profile.

        Raises:
            ConfigError: there is no such profile, or the settings are wrong.
        """
        own = self.subjects[name].gate if name in self.subjects else {}
        where = f"{Path(self.root) / FILE}: subjects.{name}.gate"
        layers = list(profile_layers(as_layer(self.gate), own, profile, where))
        merged = merge_gate(layers)
        try:
            gate = msgspec.convert(merged, GateConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{where}: {_explain(str(error), merged, 'gate')}") from None
        _check_gate(gate, Path(self.root) / FILE)
        return gate

    @property
    def import_path(self) -> tuple[str, ...]:
        """The directories for imports, absolute."""
        return tuple(str((Path(self.root) / entry).resolve()) for entry in self.path)

    @property
    def results_directory(self) -> Path:
        """Where records go."""
        return Path(self.root) / self.results


_TABLES: dict[str, Any] = {
    "subjects": SubjectConfig,
    "bench": str,
    "planted": str,
    "gate.grid": list[Param],
    "gate.weights": list[float],
    "gate.unreachable": dict[str, Param],
}
"""The tables whose keys the user chooses, and what each value must be."""


def find_config(start: Path) -> Path | None:
    """Return the nearest `crashlab.toml` in `start` or above it."""
    for directory in (start.resolve(), *start.resolve().parents):
        if (directory / FILE).is_file():
            return directory / FILE
    return None


def load_config(path: Path | None) -> Config:
    """Read and check a configuration; None gives an empty one in the current directory.

    Raises:
        ConfigError: unreadable, no TOML, an unknown key, a wrong type, or values that do not fit together.
    """
    if path is None:
        return Config()
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory, expected a {FILE} file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a {FILE} file") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: {len(data)} bytes, expected at most {FILE_BYTES_MAX}")
    try:
        values = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply for a {FILE} file") from None
    if "root" in values:
        raise ConfigError(f"{path}: {_unknown('root', Config, '')}")
    values["root"] = str(path.parent)
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(_named(str(error), values), values)}") from None
    _check(config, path)
    return config


def _named(message: str, values: dict[str, Any]) -> str:
    """Put the key into msgspec's message, which says `[...]` for any key of a table."""
    for section, kind in _TABLES.items():
        if f"`$.{section}[...]" in message:
            table: Any = values
            for part in section.split("."):
                table = table[part]
            for key, value in table.items():
                try:
                    msgspec.convert(value, kind)
                except msgspec.ValidationError as error:
                    text, _, where = str(error).partition(" - at `$")
                    return f"{text} - at `$.{section}.{key}{where or '`'}"
    return message


def _explain(message: str, values: dict[str, Any], inside: str = "") -> str:
    """Turn msgspec's message into section, name, expected and a suggestion; `inside` names what `values` is."""
    text, _, where = message.partition(" - at `$")
    section = where.strip("`.").replace("[...]", "")
    if inside:
        values, section = {inside: values}, f"{inside}.{section}".rstrip(".")
    unknown = text.removeprefix("Object contains unknown field `")
    if unknown != text:
        unknown = unknown.removesuffix("`")
        kinds: dict[str, type[msgspec.Struct]] = {
            "": Config,
            "gate": GateConfig,
            "gate.policy": Policy,
            "gate.trace": TraceConfig,
            "gate.schedules": SchedulesConfig,
            "study": StudyConfig,
        }
        own = StudyConfig if section.endswith(".study") else SubjectConfig
        return _unknown(unknown, kinds.get(section, own), section)
    value: Any = values
    for part in section.partition("[")[0].split(".") if section else []:
        value = value.get(part) if isinstance(value, dict) else None
    got = f" (it is {value!r})" if value is not None and not isinstance(value, dict) else ""
    return f"{section or 'top level'}: {text[:1].lower()}{text[1:]}{got}"


def _unknown(key: str, kind: type[msgspec.Struct], section: str) -> str:
    names = [field for field in kind.__struct_fields__ if field != "root"]
    place = f"[{section}]" if section else "the top level"
    return f"unknown key {key!r} in {place}; known: {', '.join(names)}{did_you_mean(key, names)}"


def _check(config: Config, path: Path) -> None:
    _check_gate(config.gate, path)
    check_study(config.study, f"{path}: study")
    for name, subject in config.subjects.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: subject {name!r}: expected letters, digits and _ . : - only, at most 128, a letter or "
                "digit first"
            )
        for param, value in subject.params.items():
            _check_value(path, f"subjects.{name}.params.{param}", value)
        if subject.study is not None:
            check_study(subject.study, f"{path}: subjects.{name}.study")
    for key, name in (("subject", config.gate.subject), *(("subjects", each) for each in config.gate.subjects)):
        if name and name not in config.subjects:
            raise ConfigError(f"{path}: gate.{key} = {name!r} is no subject{did_you_mean(name, config.subjects)}")
    for name, subject in config.subjects.items():
        config.lanes_for(name, config.gate_for(name))
        for profile in {**config.gate.profiles, **subject.gate.get(PROFILES, {})}:
            config.gate_for(name, profile)


def _check_gate(gate: GateConfig, path: Path) -> None:
    parse_duration(gate.budget, f"{path}: gate.budget")
    _between(path, "gate.trials", gate.trials, 1)
    _between(path, "gate.acks_max", gate.acks_max, 1)
    _between(path, "gate.policy.phase_hits_min", gate.policy.phase_hits_min, 0)
    _between(path, "gate.policy.trials_min", gate.policy.trials_min, 0)
    check_schedules(gate.schedules, f"{path}: gate.schedules")
    _check_grid(gate, path)


def _check_grid(gate: GateConfig, path: Path) -> None:
    for name, values in gate.grid.items():
        if not values:
            raise ConfigError(f"{path}: gate.grid.{name} is empty, expected at least one value")
        for value in values:
            _check_value(path, f"gate.grid.{name}", value)
    for name, weights in gate.weights.items():
        if name not in gate.grid:
            raise ConfigError(
                f"{path}: gate.weights.{name} weighs a parameter that gate.grid has not{did_you_mean(name, gate.grid)}"
            )
        values = gate.grid[name]
        if len(weights) != len(values) or not all(0 <= w < math.inf for w in weights) or not sum(weights):
            raise ConfigError(
                f"{path}: gate.weights.{name} = {weights}, expected {len(values)} numbers of 0 or more, not all 0, "
                f"one for each of {values}"
            )
    for name in gate.rows_by:
        if name not in gate.grid:
            raise ConfigError(
                f"{path}: gate.rows_by names {name!r}, which gate.grid has not{did_you_mean(name, gate.grid)}"
            )
    phases = [phase.value for phase in Phase]
    for phase, cell in gate.unreachable.items():
        if phase not in phases:
            raise ConfigError(
                f"{path}: gate.unreachable names phase {phase!r}; known: {', '.join(phases)}"
                f"{did_you_mean(phase, phases)}"
            )
        for name in cell:
            if name not in gate.grid:
                raise ConfigError(
                    f"{path}: gate.unreachable.{phase} names {name!r}, which gate.grid has not"
                    f"{did_you_mean(name, gate.grid)}"
                )


def _between(path: Path, name: str, value: int, low: int) -> None:
    if not low <= value <= TRIALS_MAX:
        raise ConfigError(f"{path}: {name} = {value}, expected {low} to {TRIALS_MAX}")


def _check_value(path: Path, name: str, value: Param) -> None:
    """Refuse numbers that no case file can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: {name} = {value}, expected a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{path}: {name} = {value}, expected a number of at most 64 bits")
