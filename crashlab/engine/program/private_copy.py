"""The private copy: a program under the lab never works on the user's own data.

Two copies are made. The program works in one; the other says afterwards what was there before. Not copied:
`.git`, `.hg`, `.svn`, `__pycache__`, `.crashlab`; a virtual environment is linked, not copied.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from crashlab.errors import LimitError, UsageError

COPY_BYTES_MAX = 256 << 20
COPY_FILES_MAX = 20_000
_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", ".crashlab", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_MAGIC = b"SQLite format 3\0"
_SIDECARS = ("-wal", "-journal")


class PrivateCopy:
    """A working directory's copy in `area`: `work` for the program, `before` as it was.

    Raises:
        UsageError: a database lies outside, or a mapping makes no sense; nothing has been started then.
        LimitError: the directory is too large to copy.
    """

    def __init__(
        self, source: Path, area: Path, maps: tuple[tuple[str, str], ...] = (), *, bytes_max: int = COPY_BYTES_MAX
    ) -> None:
        self.source = Path(os.path.realpath(source))
        self.work, self.before = area / "work", area / "before"
        self._area = Path(os.path.realpath(area))
        self._bytes_left = self._bytes_max = bytes_max
        self._files = 0
        self.before.mkdir(parents=True)
        self._copy(self.source, self.before)
        self._maps = tuple(self._mapped(real, inside) for real, inside in maps)
        shutil.copytree(self.before, self.work, symlinks=True)
        self.work = Path(os.path.realpath(self.work))

    def redirect(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command with `{dir}`, mapped paths and absolute paths of the working directory put right.

        Raises:
            UsageError: an argument names a database outside.
        """
        return tuple(self._word(word, f"argument {word!r}") if at else word for at, word in enumerate(argv))

    def environment(self) -> dict[str, str]:
        """Return the environment variables that name something mapped or a file of the working directory, put right.

        Raises:
            UsageError: one names a database outside.
        """
        found = {}
        for name, value in os.environ.items():
            if os.sep in value and name not in ("PATH", "PWD", "OLDPWD", "PYTHONPATH", "_", "VIRTUAL_ENV"):
                new = self._word(value, f"the environment variable {name}")
                if new != value:
                    found[name] = new
        return found

    def _word(self, word: str, where: str) -> str:
        word = word.replace("{dir}", str(self.work))
        head, path = _path_in(word)
        if not path or path.startswith(str(self.work)):
            return word
        full = os.path.realpath(self.source / path)
        for real, inside in self._maps:
            if full == real or full.startswith(os.path.join(real, "")):
                return head + str(self.work / inside) + full[len(real) :]
        if _within(full, str(self.source)):
            return head + str(self.work / os.path.relpath(full, self.source)) if Path(path).is_absolute() else word
        if is_database(Path(full)):
            raise UsageError(_refusal(where, full))
        return word

    def _mapped(self, real: str, inside: str) -> tuple[str, str]:
        source = Path(os.path.realpath(self.source / real))
        target = self.before / inside
        if not source.exists():
            raise UsageError(f"--map {real}={inside}: {source} does not exist; expected a file or directory to copy")
        if not inside or Path(inside).is_absolute() or ".." in Path(inside).parts:
            raise UsageError(f"--map {real}={inside}: expected a path inside the private copy, such as data/app.db")
        if target.exists():
            raise UsageError(f"--map {real}={inside}: {inside} exists in the working directory; choose a free name")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir()
            self._copy(source, target)
        else:
            for suffix in ("", *_SIDECARS):
                if Path(f"{source}{suffix}").exists():
                    self._file(Path(f"{source}{suffix}"), Path(f"{target}{suffix}"))
        return str(source), inside

    def _copy(self, source: Path, target: Path) -> None:
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            path, to = Path(entry.path), target / entry.name
            if entry.name in _SKIPPED or os.path.realpath(path) == str(self._area):
                continue
            if entry.is_symlink():
                self._link(path, to)
            elif entry.is_dir():
                if (path / "pyvenv.cfg").exists():
                    to.symlink_to(path)
                else:
                    to.mkdir()
                    self._copy(path, to)
            elif entry.is_file() and not entry.name.endswith("-shm"):
                self._file(path, to)

    def _link(self, path: Path, to: Path) -> None:
        full = os.path.realpath(path)
        if _within(full, str(self.source)):
            to.symlink_to(os.readlink(path))  # noqa: PTH115 - as it stands
        elif is_database(Path(full)):
            raise UsageError(_refusal(f"{path.name!r} is a link that", full))
        else:
            to.symlink_to(full)

    def _file(self, path: Path, to: Path) -> None:
        self._bytes_left -= path.stat().st_size
        self._files += 1
        if self._bytes_left < 0 or self._files > COPY_FILES_MAX:
            raise LimitError(
                f"the working directory {self.source} has more than {self._bytes_max >> 20} MiB or {COPY_FILES_MAX} "
                "files; start in a smaller one, or raise --copy-max"
            )
        shutil.copy2(path, to)


def files_below(directory: Path) -> Iterator[str]:
    """Yield the names of all regular files, relative, with `/`; links are no files here."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(directory).as_posix()


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, by its first bytes; nothing here has it open."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _path_in(word: str) -> tuple[str, str]:
    """Split `--db=sqlite:///path` or `path` into what is before the path, and the path; '' if there is none."""
    match = re.fullmatch(r"(?P<head>(?:--?[\w-]+=)?(?:sqlite(?:\+\w+)?:///|file:(?://)?)?)(?P<path>[^\0\n?]+)", word)
    if match is None or match["path"].startswith("-"):
        return "", ""
    return match["head"], match["path"]


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(os.path.join(directory, ""))


def _refusal(where: str, path: str) -> str:
    return (
        f"{where} leads to the database {path}, outside the working directory; the lab works on copies only: "
        f"write {{dir}}/NAME for a new one, or --map {path}={Path(path).name} to have it copied"
    )
