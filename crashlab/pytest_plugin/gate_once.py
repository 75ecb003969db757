"""Running the gate once a session, whoever asks first, and sharing what it found.

Under xdist every worker has some of the gate's items. The first worker to need a row claims the gate with a
file, runs it, and leaves the result in a second file; the others wait for that, and for nothing else: if the
owner of the claim dies, they say so. This works with every `--dist`. Workers on another machine do not see
the directory and run a gate of their own.
"""

import contextlib
import os
import time
import traceback
from pathlib import Path

import msgspec
import psutil

from crashlab.decide.config import Config
from crashlab.decide.duration import parse_duration
from crashlab.decide.evidence import GateReport
from crashlab.decide.gate import Gate, GateOptions
from crashlab.decide.planted import controls_of
from crashlab.engine.casedir import write_atomically
from crashlab.engine.events import Emitter
from crashlab.engine.rundir import make_run_directory
from crashlab.errors import CrashlabError
from crashlab.pytest_plugin.settings import SEED_DEFAULT, Settings
from crashlab.report.ndjson import NdjsonWriter, open_records

MARGIN_S = 120.0
"""A gate's budget bounds when trials start; those in flight, the controls and the aimed kills come on top."""

_POLL_S = 0.1
_RESULT_BYTES_MAX = 64 << 20


class GateResult(msgspec.Struct, frozen=True):
    """What came of the gate: its report, or one line that says why there is none.

    `trace` is there if crashlab itself is at fault.
    """

    report: GateReport | None = None
    error: str = ""
    trace: str = ""


def budget_s(settings: Settings, config: Config, subject: str) -> float:
    """Seconds for the gate."""
    return settings.budget_s or parse_duration(config.gate_for(subject).budget, "gate.budget")


def run_or_wait(settings: Settings, config: Config, subject: str, results: Path) -> GateResult:
    """Run the gate, or wait for the worker that runs it. Never raises for what the gate finds or refuses."""
    shared = Path(settings.shared) if settings.shared else None
    if shared is None or not shared.is_dir():
        return _run(settings, config, subject, results)
    claim, result = shared / "gate.owner", shared / "gate.json"
    try:
        with open(claim, "x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return _wait(claim, result, budget_s(settings, config, subject) + MARGIN_S)
    found = GateResult(error="the gate was interrupted")
    try:
        found = _run(settings, config, subject, results)
    finally:
        with contextlib.suppress(OSError):  # the session is over and has removed the directory
            write_atomically(result, msgspec.json.encode(found))
    return found


def _wait(claim: Path, result: Path, seconds: float) -> GateResult:
    deadline = time.monotonic() + seconds
    while True:
        alive = _alive(claim)
        with contextlib.suppress(FileNotFoundError), open(result, "rb") as file:
            return msgspec.json.decode(file.read(_RESULT_BYTES_MAX), type=GateResult)
        if not alive:
            return GateResult(error="the xdist worker that ran the gate died; run the gate without -n to see why")
        if time.monotonic() > deadline:
            return GateResult(error=f"the xdist worker that runs the gate had no result after {seconds:.0f} s")
        time.sleep(_POLL_S)


def _alive(claim: Path) -> bool:
    """True unless the process that claimed the gate is certainly gone."""
    try:
        text = claim.read_text()
    except OSError:
        return False  # the session is over
    if not text:
        return True  # it is just writing its number
    try:
        return psutil.Process(int(text)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _run(settings: Settings, config: Config, subject: str, results: Path) -> GateResult:
    try:
        records = make_run_directory(results, "gate")
        options = GateOptions(
            seed=SEED_DEFAULT if settings.seed is None else settings.seed,
            seconds=budget_s(settings, config, subject),
            records=str(records),
            database=settings.database,
        )
        emitter = Emitter()
        planted = controls_of(config, subject)
        settings_of = config.gate_for(subject)
        lanes = config.lanes_for(subject, settings_of)
        gate = Gate(config.subject(subject), settings_of, options, emitter, planted=planted, lanes=lanes)
        with open_records(records) as stream:
            emitter.add(NdjsonWriter(stream))
            try:
                for _row in gate.rows():
                    pass
            except Exception:
                raise
            except BaseException:  # an interrupt, or pytest-timeout: what there is so far is kept
                _save(gate.report(), records)
                raise
            report = gate.report()
        _save(report, records)
        return GateResult(report)
    except CrashlabError as error:
        return GateResult(error=f"{type(error).__name__}: {error}")
    except Exception as error:  # told once in full, not once for each item
        return GateResult(error=f"crashlab itself broke: {type(error).__name__}: {error}", trace=traceback.format_exc())


def _save(report: GateReport, records: Path) -> None:
    write_atomically(records / "report.json", msgspec.json.format(msgspec.json.encode(report)))
