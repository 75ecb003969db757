"""The plan of a run: what decides its trials and their verdicts, as its first record tells it."""

from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path

import msgspec

from crashlab.errors import UsageError
from crashlab.model.case import Param

DIGEST_BYTES = 8
DECIDING = ("model", "log", "sqlite", "writers", "states", "faults", "oracles", "engine")
"""Packages of the lab that have a part in a verdict; how it is reported has none."""

ENVIRONMENT = {
    "platform": "operating system",
    "machine": "machine",
    "python": "Python",
    "sqlite": "SQLite",
    "sqlite_source_id": "SQLite's source id",
    "file_system": "file system of the trials",
}
"""What of an environment decides a verdict: the number of cores and the kernel's release do not."""


class RunPlan(msgspec.Struct, frozen=True):
    """What a run was asked for, and with what code. The same plan gives the same cases under the same trial ids.

    `code`: digest of the subject's code. `crashlab`: the lab's version and the digest of its code. `commit`,
    `committed` (its date) and `dirty` (there were changes): of the subject's git repository, empty where there is none;
    they label figures and decide nothing, which the digests do.
    """

    command: str
    subject: str
    seed: int
    faults: tuple[str, ...]
    trials: int
    params: dict[str, Param] = {}
    environment: dict[str, str] = {}
    config: str = ""
    workload: str = ""
    code: str = ""
    crashlab: str = ""
    commit: str = ""
    committed: str = ""
    dirty: bool = False


def require_same(recorded: RunPlan, now: RunPlan, where: str) -> None:
    """Refuse to go on with a run under other conditions than it began with; trials in all may be more.

    Raises:
        UsageError: with everything that differs, by name.
    """
    pairs = [
        ("command", recorded.command, now.command),
        ("subject", recorded.subject, now.subject),
        ("workload", recorded.workload, now.workload),
        ("seed", recorded.seed, now.seed),
        ("faults", ", ".join(recorded.faults), ", ".join(now.faults)),
        ("parameters", _words(recorded.params), _words(now.params)),
        (f"the code of subject {recorded.subject!r}", recorded.code, now.code),
        ("crashlab", recorded.crashlab, now.crashlab),
    ]
    pairs += [
        (name, recorded.environment.get(key, ""), now.environment.get(key, "")) for key, name in ENVIRONMENT.items()
    ]
    differ = [f"{name}: {then or 'unknown'}, now {here or 'unknown'}" for name, then, here in pairs if then != here]
    if differ:
        raise UsageError(
            f"{where} cannot go on: its results would not be of one campaign ({'; '.join(differ)}); "
            "restore what differs, or start a run of its own"
        )


def _words(params: dict[str, Param]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(params.items())) or "none"


@cache
def own_version() -> str:
    """Return the lab's version with a digest of the code that decides verdicts, as `0.1.0+3f2a9c01d4e5b677`."""
    lab = import_module("crashlab")  # by name: its lazy public names lead outwards
    package = Path(lab.__path__[0])
    digest = blake2b(digest_size=DIGEST_BYTES)
    for path in sorted(path for name in DECIDING for path in (package / name).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{lab.__version__}+{digest.hexdigest()}"
