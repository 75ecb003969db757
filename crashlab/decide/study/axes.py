"""The axes of a cadence study: what may be varied, the values of each, and a cell as one value of each."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from crashlab.decide.params import check_params
from crashlab.decide.study.settings import StudyConfig
from crashlab.errors import UsageError, did_you_mean
from crashlab.model.case import Param

__all__ = ["Axes", "Cell", "driver", "find_axes", "how_often"]

CADENCE, EVERY, AUTOCHECKPOINT, MODE = "cadence", "every", "autocheckpoint", "mode"
SYNCHRONOUS, READER, RATE, SIZE = "synchronous", "reader", "rate", "size"
OFF, EVERY_PREFIX = "off", "every-"

_VALUES: Mapping[str, tuple[str, ...]] = {
    CADENCE: (OFF, "0.05", "0.1", "0.5", "1", "5", "15", "60", "300"),
    EVERY: ("every-50",),
    AUTOCHECKPOINT: ("1000", "0"),
    MODE: ("PASSIVE", "TRUNCATE"),
    SYNCHRONOUS: ("FULL", "NORMAL", "OFF"),
    READER: ("none", "polling", "pinned"),
    SIZE: ("0", "20000"),
}
RATES = ("10",)
"""Writes a second that are studied beside the subject's own."""

RATE_MIN, RATE_MAX = 1e-4, 1e4
VALUES_MAX = 50


class Cell(msgspec.Struct, frozen=True):
    """One value of each axis, and what that sets: `params` of the subject, `tick_s` seconds from write to write."""

    axes: dict[str, str]
    params: dict[str, Param]
    tick_s: float

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.axes.items())


class Axes(msgspec.Struct, frozen=True):
    """The axes of one subject: `values` of each, and the `base` value that a cell has where nothing is varied."""

    subject: str
    declared: dict[str, Param]
    settings: StudyConfig
    values: dict[str, tuple[str, ...]]
    base: dict[str, str]

    def cell(self, **axes: str) -> Cell:
        """Return the base cell with some axes at other values.

        Raises:
            UsageError: there is no such axis, or a value is none of its kind.
        """
        merged = {**self.base, **axes}
        params = dict(self.settings.params)
        for name, value in merged.items():
            params.update(self._params(name, value))
        check_params(self.subject, self.declared, {name: (value,) for name, value in params.items()}, "the study")
        return Cell(merged, params, 1.0 / float(merged[RATE]))

    def check(self, name: str, values: Sequence[str]) -> tuple[str, ...]:
        """Return values that a user gave for an axis, in one spelling.

        Raises:
            UsageError: there is no such axis, or a value is none of its kind.
        """
        known = self._name(name)
        if not values or len(values) > VALUES_MAX:
            raise UsageError(f"{name}: {len(values)} values, expected 1 to {VALUES_MAX}")
        found = tuple(dict.fromkeys(self._spelled(known, value.strip()) for value in values))
        for value in found:
            self._params(known, value)
        return found

    def _name(self, name: str) -> str:
        if name not in self.base:
            raise UsageError(
                f"subject {self.subject!r} has no axis {name!r}; it has: {', '.join(self.base)}"
                f"{did_you_mean(name, self.base)}"
            )
        return name

    def _spelled(self, name: str, value: str) -> str:
        if name == CADENCE:
            if value.lower() in (OFF, "0"):
                return OFF
            if value.startswith(EVERY_PREFIX):
                return value
            return _number_text(value, name)
        return value.upper() if name in (MODE, SYNCHRONOUS) else value

    def _params(self, name: str, value: str) -> dict[str, Param]:
        """What an axis's value sets."""
        settings, declared = self.settings, self.declared
        if name == RATE:
            if not RATE_MIN <= _number(value, name) <= RATE_MAX:
                raise UsageError(f"rate {value}: expected {RATE_MIN:g} to {RATE_MAX:g} writes a second")
            return {}
        if name == CADENCE:
            off: dict[str, Param] = {each: 0 for each in (settings.cadence, settings.every) if each in declared}
            if value == OFF:
                return off
            if value.startswith(EVERY_PREFIX):
                writes = value[len(EVERY_PREFIX) :]
                if settings.every not in declared or not writes.isdigit() or not int(writes):
                    raise UsageError(f"cadence {value!r}: {self._how_often()}")
                return {**off, settings.every: int(writes)}
            seconds = _number(value, name)
            if settings.cadence not in declared or seconds < 0:
                raise UsageError(f"cadence {value!r}: {self._how_often()}")
            return {**off, settings.cadence: seconds}
        parameter = getattr(settings, name, name)
        return {parameter: _typed(value, declared[parameter], name)}

    def _how_often(self) -> str:
        forms = [OFF]
        if self.settings.cadence in self.declared:
            forms.append("seconds, such as 0.5")
        if self.settings.every in self.declared:
            forms.append("every-N for N writes, such as every-50")
        return f"expected {', or '.join(forms)}"


def find_axes(subject: str, declared: Mapping[str, Param], settings: StudyConfig, also: Sequence[str] = ()) -> Axes:
    """Return the axes that a subject's declared parameters give it; `also`: parameters that are axes of their own.

    Raises:
        UsageError: it declares none that has to do with checkpoints, or a setting names what it does not declare.
    """
    driven = [settings.cadence, settings.every, settings.autocheckpoint]
    if not any(name in declared for name in driven):
        names = ", ".join(sorted(declared)) or "none"
        raise UsageError(
            f"subject {subject!r} declares no parameter for its checkpoints ({', '.join(filter(None, driven))}); "
            f"it declares: {names}; name the one that is its cadence under [subjects.{subject}.study]"
        )
    for name in (*settings.params, *settings.latency_params, *also):
        check_params(subject, declared, {name: ()}, f"study of {subject!r}")
    values: dict[str, tuple[str, ...]] = {}
    base: dict[str, str] = {}
    if settings.cadence in declared or settings.every in declared:
        values[CADENCE] = (
            *(_VALUES[CADENCE] if settings.cadence in declared else (OFF,)),
            *(_VALUES[EVERY] if settings.every in declared else ()),
        )
        base[CADENCE] = _declared_cadence(declared, settings)
    for name in (AUTOCHECKPOINT, MODE, SYNCHRONOUS, READER, SIZE):
        parameter = getattr(settings, name)
        if parameter in declared:
            base[name] = _shown(declared[parameter])
            values[name] = tuple(dict.fromkeys((base[name], *_VALUES[name])))
    base[RATE] = _shown(1.0 / settings.tick_s)
    values[RATE] = (base[RATE], *RATES)
    for name in also:
        base[name] = _shown(declared[name])
        values[name] = (base[name],)
    axes = Axes(subject, dict(declared), settings, values, base)
    for name, value in settings.base.items():
        base[name] = axes.check(name, [_shown(value)])[0]
    for name, given in settings.values.items():
        values[name] = axes.check(name, [_shown(value) for value in given])
    for name in values:
        values[name] = tuple(dict.fromkeys((*values[name], base[name])))
    if CADENCE in values:
        values[CADENCE] = tuple(sorted(values[CADENCE], key=how_often))
    return axes


def driver(base: Mapping[str, str]) -> str:
    """Return the axis that says how often checkpoints come: SQLite's own where the program has none of its own."""
    return CADENCE if CADENCE in base else AUTOCHECKPOINT


def how_often(cadence: str) -> tuple[int, float]:
    """A key that sorts cadences: off, seconds ascending, writes ascending."""
    if cadence == OFF:
        return 0, 0.0
    if cadence.startswith(EVERY_PREFIX):
        return 2, float(cadence[len(EVERY_PREFIX) :])
    return 1, float(cadence)


def _declared_cadence(declared: Mapping[str, Param], settings: StudyConfig) -> str:
    seconds = declared.get(settings.cadence, 0)
    if seconds:
        return _shown(seconds)
    writes = declared.get(settings.every, 0)
    return f"{EVERY_PREFIX}{writes}" if writes else OFF


def _shown(value: Param) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number_text(value: str, name: str) -> str:
    return f"{_number(value, name):g}"


def _number(value: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} {value!r} is no number")
    return number


def _typed(value: str, declared: Param, name: str) -> Param:
    if isinstance(declared, bool):
        if value.lower() not in ("true", "false"):
            raise UsageError(f"{name} {value!r}: expected true or false")
        return value.lower() == "true"
    if isinstance(declared, str):
        return value
    number = _number(value, name)
    return int(number) if number.is_integer() else number
