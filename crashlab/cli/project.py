"""The project that somebody stands in, as far as its files tell: layout, tests, where it opens databases."""

import configparser
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from crashlab.errors import UsageError

__all__ = ["Project", "find_project"]

_FILES_MAX = 5_000
_BYTES_MAX = 1 << 20
_CONNECTS_MAX = 5
_CONNECT = re.compile(rb"\bsqlite3\.connect\(")
_NOT_THE_PROJECTS = frozenset({"node_modules", "site-packages", "venv", "env", "build", "dist"})
_SUBJECT = re.compile(r"[^A-Za-z0-9_-]+")


class Project(msgspec.Struct, frozen=True):
    """`subject`: a name for its subject. `tests`: the directory of its tests; `sources`: the directory to import it
    from; both relative to the root, with slashes. `connects`: where it opens databases, as `path:line`.
    """

    subject: str
    tests: str
    sources: str
    connects: tuple[str, ...] = ()
    results: str = ".crashlab"


def find_project(root: Path) -> Project:
    """Look at the files of a directory; a bounded number of them, and only small ones.

    Raises:
        UsageError: `pyproject.toml` cannot be read.
    """
    settings = _pyproject(root)
    sources = "src" if any(root.glob("src/*.py")) or any(root.glob("src/*/__init__.py")) else "."
    named = settings.get("project", {}).get("name")
    packages = sorted(path.parent.name for path in (root / sources).glob("*/__init__.py"))
    packages = [name for name in packages if name not in ("tests", "test")]
    name = named if isinstance(named, str) else packages[0] if packages else ""
    tests = _tests(root, settings)
    return Project(
        subject=_SUBJECT.sub("-", name).strip("-_") or "app",
        tests=tests,
        sources=sources,
        connects=tuple(_connects(root, tests)),
    )


def _pyproject(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None


def _tests(root: Path, settings: dict[str, Any]) -> str:
    """The directory of the tests: pytest's own setting, else the usual name."""
    for entry in (*_testpaths(root, settings), "tests", "test"):
        if not re.search(r"[*?\[]", entry) and not Path(entry).is_absolute() and (root / entry).is_dir():
            found = Path(entry).as_posix()
            if ".." not in Path(entry).parts:
                return found
    return "tests"


def _testpaths(root: Path, settings: dict[str, Any]) -> list[str]:
    tool = settings.get("tool", {}).get("pytest", {})
    given = tool.get("testpaths", tool.get("ini_options", {}).get("testpaths"))
    for name, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if given is None:
            parser = configparser.ConfigParser(interpolation=None)
            try:
                parser.read(root / name, encoding="utf-8")
                given = parser.get(section, "testpaths", fallback=None)
            except (configparser.Error, OSError, UnicodeDecodeError):
                continue
    if isinstance(given, str):
        return given.split()
    return [entry for entry in given if isinstance(entry, str)] if isinstance(given, list) else []


def _connects(root: Path, tests: str) -> Iterator[str]:
    found = 0
    for path in _modules(root):
        relative = path.relative_to(root).as_posix()
        if tests != "." and relative.startswith(f"{tests}/"):
            continue
        try:
            data = path.read_bytes() if path.stat().st_size <= _BYTES_MAX else b""
        except OSError:
            continue
        match = _CONNECT.search(data)
        if match:
            line = data.count(b"\n", 0, match.start()) + 1
            yield f"{relative}:{line}"
            found += 1
        if found == _CONNECTS_MAX:
            return


def _modules(root: Path) -> Iterator[Path]:
    """Python files of the project, not of an environment that lies in it."""
    looked = 0
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NOT_THE_PROJECTS)
        if Path(directory, "pyvenv.cfg").exists():
            names.clear()
            continue
        for file in sorted(files):
            looked += 1
            if looked > _FILES_MAX:
                return
            if file.endswith(".py"):
                yield Path(directory, file)
