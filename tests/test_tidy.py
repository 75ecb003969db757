"""House rules that a machine can check."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("crashlab", "store", "harness")
LINES_MAX = 400
LONGER = {
    "crashlab/states/models.py": "the fault models side by side, because their differences are what matters",
}
"""Modules that may be longer, with the reason."""

TEXTS = (".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".json", ".cfg", ".ini")
SKIPPED = {"build", "dist", "site", "__pycache__"}
# Put together here so that this file does not contain them itself; somebody called "me" is nobody.
MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:" + "ro" + "ot|" + r"(?:ho" + "me|Us" + r"ers)/(?!me\b)\w+)\b")
HEAVY = ("msgspec", "click", "rich", "psutil", "numpy", "hypothesis", "store", "harness")
CLOCKS = {"time", "time_ns", "ctime", "localtime", "gmtime"}
CLOCKS_ALLOWED = {"crashlab/sqlite/_preflight_child.py": "compares with modification times, which are the wall clock's"}
DRAWS_ALLOWED = {"Random"}


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(*packages: str, words: tuple[str, ...]) -> Iterator[tuple[Path, ast.Module]]:
    """Modules with one of these words in them; without it there is nothing to find, and parsing takes the time."""
    for path in modules(*packages):
        text = path.read_text(encoding="utf-8")
        if any(word in text for word in words):
            yield path, ast.parse(text)


def texts() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".github") for part in parts)
        if hidden or SKIPPED.intersection(parts) or not path.is_file():
            continue
        if path.suffix in TEXTS or parts[0] == ".ci" or path.name == "LICENSE":
            yield path


def uses(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """Attributes of a module that the code uses, and names it takes out of it, with their lines."""
    known = {module}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname for alias in node.names if alias.name == module and alias.asname}
        if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
            yield from ((node.lineno, alias.name) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            yield node.lineno, node.attr


def test_the_rules_see_what_they_forbid() -> None:
    tree = ast.parse("import random as r\nfrom time import time\nr.random()\nr.Random(3)\nimport time as t\nt.time()\n")
    assert [draw for _, draw in uses(tree, "random") if draw not in DRAWS_ALLOWED] == ["random"]
    assert [line for line, used in uses(tree, "time") if used in CLOCKS] == [2, 6]
    assert MACHINE_PATHS.search("see /" + "root/x")
    assert MACHINE_PATHS.search("in '/" + "home/anna/x'")
    assert not MACHINE_PATHS.search("https://example.org/" + "root/x or /home/me/x")


def test_randomness_is_an_argument() -> None:
    """Take a `random.Random` instead."""
    assert not [
        f"{name(path)}:{line}: random.{draw}"
        for path, tree in parsed("crashlab", "harness", words=("random",))
        for line, draw in uses(tree, "random")
        if draw not in DRAWS_ALLOWED
    ]


def test_no_wall_clock_in_decisions() -> None:
    """Use `time.monotonic`, or the clock that is handed in."""
    assert not [
        f"{name(path)}:{line}: time.{clock}"
        for path, tree in parsed("crashlab", words=("time",))
        for line, clock in uses(tree, "time")
        if clock in CLOCKS and name(path) not in CLOCKS_ALLOWED
    ]


def test_modules_stay_readable() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*PACKAGES)}
    assert not {path: count for path, count in lines.items() if count > LINES_MAX and not LONGER.get(path)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_directory_with_code_is_a_package(package: str) -> None:
    directories = {path.parent for path in modules(package)}
    missing = sorted(name(directory) for directory in directories if not (directory / "__init__.py").is_file())
    assert not missing


def test_the_lab_knows_nothing_of_its_subjects() -> None:
    found = []
    for path, tree in parsed("crashlab", words=("import store", "from store", "import harness", "from harness")):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [f"{name(path)} imports {n}" for n in names if n.partition(".")[0] in ("store", "harness")]
    assert not found


def test_no_path_of_somebodys_machine() -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert not found


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    code = "import sys, crashlab.pytest_plugin; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(HEAVY) & set(done.stdout.split())
