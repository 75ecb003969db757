"""One case as the corpus sees it: which finding it shows, and how small it is."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from crashlab.engine.carried import carried_trace
from crashlab.engine.casedir import CASE_FILE, load_case, write_atomically
from crashlab.engine.moments import Moments
from crashlab.engine.program.case import PROGRAM_CASE
from crashlab.engine.program.kills.case import KILLED_CASE
from crashlab.engine.reduce import parsed_state, size_of
from crashlab.errors import CrashlabError, RecordError
from crashlab.model.outcome import Outcome
from crashlab.states.state import CrashState
from crashlab.states.trace import Trace

OUTCOME = "outcome.json"
NOTE = "corpus.json"
FILE_BYTES_MAX = 64 << 20
_SLUG = re.compile(r"[^a-z0-9]+")


class Checked(msgspec.Struct, frozen=True):
    """What the last check of a case showed: it failed in `reproduced` of `judged` runs, or states of a run.

    `verdict`: fails (as kept), fails otherwise, passes, or not judged, then with the reason in `why`.
    """

    verdict: str
    reproduced: int = 0
    judged: int = 0
    crashlab: str = ""
    commit: str = ""
    why: str = ""


class Weight(msgspec.Struct, frozen=True, order=True):
    """How much there is to look at, compared in the order of the fields: a computed state is less than a real kill.

    `lost`, `torn`, `sectors`, `moment`: as `crashlab.engine.reduce.Size`. `acked`: steps acked in the run.
    """

    real: bool
    lost: int = 0
    torn: int = 0
    sectors: int = 0
    moment: int = 0
    acked: int = 0


class Entry(msgspec.Struct, frozen=True):
    """A case directory. `identity`: what it shows, as text."""

    directory: str
    subject: str
    identity: str
    fault: str
    weight: Weight
    message: str = ""
    checked: Checked | None = None

    @property
    def name(self) -> str:
        """The name of its directory in a corpus: readable, and one for each finding."""
        digest = blake2b(self.identity.encode(), digest_size=4).hexdigest()
        return f"{_SLUG.sub('-', self.identity.lower()).strip('-')[:80]}-{digest}"


def load_entry(directory: Path) -> Entry:
    """Read a case directory.

    Raises:
        RecordError: it is damaged, shows no finding, or is of a kind that cannot be judged without its command.
    """
    if (directory / PROGRAM_CASE).is_file() or (directory / KILLED_CASE).is_file():
        raise RecordError(
            f"{directory}: a case of a COMMAND holds no command, so a corpus cannot run it again; "
            "`crashlab replay CASE -- COMMAND` can"
        )
    case = load_case(directory)
    outcome = _outcome(directory / OUTCOME)
    if not outcome.findings:
        raise RecordError(f"{directory}: a case that shows no finding ({outcome.verdict}) is not for a corpus")
    state = parsed_state(case)
    weight = Weight(real=True, acked=outcome.acked)
    if state is not None:
        _, trace = carried_trace(directory)
        if trace is None:
            raise RecordError(f"{directory}: a computed state without the recording that it is a state of")
        weight = _weight(trace, state, outcome.acked)
    finding = outcome.findings[0]
    return Entry(
        str(directory),
        case.subject,
        str(finding.identity),
        case.fault,
        weight,
        finding.message,
        _checked(directory),
    )


def _weight(trace: Trace, state: CrashState, acked: int) -> Weight:
    size = size_of(Moments(trace), state)
    return Weight(False, size.lost, size.torn, size.sectors, size.moment, acked)  # noqa: FBT003 - a record's field


def _outcome(path: Path) -> Outcome:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX)
        return msgspec.json.decode(data, type=Outcome)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; expected a case directory with its outcome") from None
    except msgspec.MsgspecError as error:
        raise RecordError(f"{path}: not an outcome ({error})") from None


def _checked(directory: Path) -> Checked | None:
    """What the last check said; None if there was none, or its note cannot be read."""
    try:
        return msgspec.json.decode((directory / NOTE).read_bytes(), type=Checked)
    except (OSError, msgspec.MsgspecError):
        return None


def note_check(directory: Path, checked: Checked) -> None:
    """Write down what a check said, beside the case."""
    write_atomically(directory / NOTE, msgspec.json.format(msgspec.json.encode(checked)) + b"\n")


def find_cases(path: Path) -> list[Path]:
    """Return the case directory that `path` names, or those of the run (or of the directory of cases) that it names.

    Raises:
        RecordError: there are none.
    """
    if _is_case(path):
        return [path]
    root = path / "cases" if (path / "cases").is_dir() else path
    found = sorted(entry for entry in _directories(root) if _is_case(entry))
    if not found:
        raise RecordError(f"{path}: no failing case in it; name a case directory, or a run's, such as {_EXAMPLE}")
    return found


def _directories(root: Path) -> Iterator[Path]:
    try:
        yield from (entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise RecordError(f"{root}: {error.strerror}; name a case directory, or a run's, such as {_EXAMPLE}") from None


def _is_case(path: Path) -> bool:
    return any((path / name).is_file() for name in (CASE_FILE, PROGRAM_CASE, KILLED_CASE))


_EXAMPLE = ".crashlab/runs/run-0001"


def load_entries(root: Path) -> tuple[list[Entry], list[str]]:
    """Read every case of a corpus; what cannot be read is told in lines, not raised. No directory: no cases."""
    entries: list[Entry] = []
    damaged: list[str] = []
    for directory in sorted(_directories(root)) if root.exists() else ():
        try:
            entries.append(load_entry(directory))
        except CrashlabError as error:
            damaged.append(str(error))
    return entries, damaged
