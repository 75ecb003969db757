"""The source of a subject: what code its process has loaded, and which commit of a repository that is."""

import subprocess
import sys
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

DIGEST_BYTES = 8
GIT_S = 10.0
FILE_BYTES_MAX = 4 << 20


class Commit(msgspec.Struct, frozen=True):
    """A commit: its name, its date (ISO 8601), and whether files that git tracks were changed since."""

    commit: str = ""
    committed: str = ""
    dirty: bool = False


def commit_of(directory: str | Path) -> Commit:
    """Return the commit that is checked out at a directory; an empty one where there is no repository, or no git."""
    try:
        shown = _git(directory, "log", "-1", "--format=%H %cI")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return Commit()
    name, _, date = shown.strip().partition(" ")
    return Commit(name, date, bool(changed.strip()))


def _git(directory: str | Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(directory), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GIT_S,
        check=True,
    )
    return done.stdout


def loaded_code(workload: str, path: Iterable[str]) -> str:
    """Return a digest of the user's modules that this process has imported, wherever they lie.

    The user's are the package of the workload, and whatever was found in the directories of `path`; installed
    packages and the lab's own are not. To be called in the process that has imported the workload.
    """
    own = workload.partition(":")[0].partition(".")[0]
    roots = [Path(entry).resolve() for entry in path]
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        package = name.partition(".")[0]
        if not file or package == "__main__" or (package == "crashlab" and own != "crashlab"):
            continue
        source = Path(file)
        if (package == own or _below(source, roots)) and source.suffix == ".py" and source.is_file():
            digest.update(name.encode() + b"\0" + source.read_bytes()[:FILE_BYTES_MAX] + b"\0")
    return digest.hexdigest()


def _below(file: Path, roots: list[Path]) -> bool:
    for root in roots:
        if file.is_relative_to(root):
            parts = file.relative_to(root).parts
            return not any(part.endswith("-packages") or part.startswith(".") for part in parts)
    return False
