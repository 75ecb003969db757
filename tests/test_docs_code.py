"""The commands and programs that the pages show run as they stand; what cannot run says why, right above it.

A block is marked by its language: `sh` and `console` (commands), `python`, `toml`. The comment above it may say
`not run: REASON`, or `with: LINE`, which stands before a Python fragment. The tutorial is followed literally.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from crashlab.engine.casedir import CASE_FILE
from crashlab.engine.program.case import PROGRAM_CASE
from crashlab.sqlite.tap import tap_problem

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
HELD_ELSEWHERE = ("external.md",)  # tests/external runs what it shows, where the packages can be installed
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name not in HELD_ELSEWHERE)
FENCE = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<kind>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("crashlab ", "pytest ", "python ", "$ ")
FILES_OF_A_READER = ("how-to/autopsy.md", "how-to/salvage.md")
"""Pages whose commands are about files that a reader has; `crashlab COMMAND --help` has examples that are run."""
NO_NETWORK = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure")
SECONDS_MAX = 280
posix = pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="commands of a POSIX shell")
APP = """
import sqlite3
import sys

db = sqlite3.connect("orders.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS orders(number INTEGER PRIMARY KEY, item TEXT)")
if "--check" not in sys.argv:
    for number in range(5):
        db.execute("INSERT OR REPLACE INTO orders VALUES(?, 'an item')", (number,))
        print("done", number)
db.close()
"""


class Block(NamedTuple):
    """A fenced block: the comment right above it, its language, its text."""

    note: str
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m["note"] or "", m["kind"], m["text"]) for m in FENCE.finditer(page.read_text(encoding="utf-8"))]


def to_run(page: Path, kind: str) -> list[Block]:
    return [block for block in blocks(page) if block.kind == kind and not block.note.startswith("not run: ")]


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def in_bash(line: str, directory: Path, code: int | None = None, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CRASHLAB_"))},
            "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            **more,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=SECONDS_MAX,
    )
    assert code in (None, done.returncode), f"{line}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def put_programs(directory: Path) -> None:
    """`crashlab`, `python` and `pytest` of this Python, on the PATH of `in_bash`."""
    (directory / "bin").mkdir()
    for program, start in (
        ("crashlab", '-c "from crashlab.cli import main; main()"'),
        ("python", ""),
        ("pytest", "-m pytest -p no:cacheprovider"),
    ):
        path = directory / "bin" / program
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
        path.chmod(0o755)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_marked_by_their_language(page: Path) -> None:
    for block in blocks(page):
        if block.kind in ("text", "") and name(page) not in FILES_OF_A_READER:
            assert not block.text.startswith(COMMANDS), f"{name(page)}: mark as sh or console: {block.text}"
        if block.note.startswith("not run:"):
            assert block.note.removeprefix("not run:").strip(), f"{name(page)}: no reason"


@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page, "python") and page != TUTORIAL], ids=name)
def test_python_of_a_page_runs(page: Path) -> None:
    for block in to_run(page, "python"):
        exec(compile(f"{block.note.removeprefix('with: ')}\n{block.text}", str(page), "exec"), {"__name__": "page"})


@posix
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page, "sh") and page != TUTORIAL], ids=name)
def test_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    put_programs(tmp_path)
    in_bash("crashlab init", tmp_path, 0)
    (tmp_path / "app.py").write_text(APP)
    shutil.copy(tmp_path / "tests" / "crashlab_workload.py", tmp_path / "lab.py")
    for file in (tmp_path / "tests").glob("test_*"):
        file.unlink()
    tests = "".join(block.text + "\n\n" for block in to_run(page, "python") if "def test_" in block.text)
    (tmp_path / "tests" / "test_page.py").write_text(tests or "def test_nothing():\n    pass\n")
    for block in to_run(page, "sh"):
        for line in block.text.splitlines():
            in_bash(line, tmp_path, 0)


# The tutorial.


def steps() -> list[Block]:
    return [block for block in blocks(TUTORIAL) if block.kind in ("sh", "console", "python", "toml")]


def take(step: Block, directory: Path, **more: str) -> None:
    """Do one step as the page says: write a file, replace a function, append, or type a command."""
    what, _, rest = step.note.partition(": ")
    if what == "file":
        (directory / rest).write_text(step.text, encoding="utf-8")
    elif what == "append to":
        with open(directory / rest, "a", encoding="utf-8") as file:
            file.write(f"\n{step.text}")
        tomllib.loads((directory / rest).read_text(encoding="utf-8"))
    elif what.startswith("in "):
        path = directory / what.removeprefix("in ").removesuffix(", instead of")
        old, count = re.subn(
            rf"^    def {rest}\(.*?(?=^    def |\Z)",
            lambda _: f"{step.text}\n",
            path.read_text(encoding="utf-8"),
            flags=re.MULTILINE | re.DOTALL,
        )
        assert count == 1
        path.write_text(old, encoding="utf-8")
    else:
        type_in(step, directory, **more)


def type_in(step: Block, directory: Path, **more: str) -> None:
    note = dict(part.partition(": ")[::2] for part in step.note.split("; "))
    command = step.text.splitlines()[0].removeprefix("$ ")
    if "replays" in note:
        found = min(
            path.parent
            for file in (CASE_FILE, PROGRAM_CASE)
            for path in directory.glob(f".crashlab/runs/*/cases/*/{file}")
        )
        command = f"crashlab replay {found}"
    printed = in_bash(f'{more.get("START", ":")} && {{ {command}\n}}; echo "exit code $?"', directory, **more)
    code = printed.splitlines()[-1].removeprefix("exit code ")
    assert code in note["exit"].split(" or "), f"{command}\nended with {code}:\n{printed}"
    flat = " ".join(printed.split())
    for text in note["shows"].split(", "):
        assert text in flat, f"{command} did not show {text!r}:\n{printed}"


@posix
@pytest.mark.skipif(tap_problem() is not None, reason="computed crash states need the tap")
def test_tutorial_leads_to_its_finding(tmp_path: Path) -> None:
    """As far as the replay, with this Python's crashlab."""
    put_programs(tmp_path)
    done = [step for step in steps() if step.kind != "sh"]
    last = next(place for place, step in enumerate(done) if "replays" in step.note)
    assert last >= 3
    for step in done[: last + 1]:
        take(step, tmp_path)


@posix
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(tap_problem() is not None, reason="computed crash states need the tap")
def test_tutorial_followed_literally_on_a_fresh_machine(tmp_path: Path) -> None:
    """In an empty directory, with a virtual environment of its own, to its end."""
    for step in steps():
        if step.note == "set-up":
            printed = in_bash(f"set -e\n{step.text}", tmp_path, CRASHLAB=str(ROOT))
            if any(text in printed for text in NO_NETWORK):
                pytest.skip(f"no package index: {printed.splitlines()[-1]}")
            assert "tap on this sqlite3: tried" in printed, printed
        else:
            take(step, tmp_path, START=". .venv/bin/activate")
    assert (tmp_path / ".venv" / "bin" / "crashlab").is_file()
    assert "with self._db:" in (tmp_path / "outbox.py").read_text(encoding="utf-8")


def test_tutorial_goes_from_a_bug_to_a_regression_test() -> None:
    order = [step.note for step in steps()]
    places = [
        next(place for place, note in enumerate(order) if text in note)
        for text in (
            "file: outbox.py",
            "acked-commits",
            "file: test_outbox.py",
            "1 failed",
            "instead of: put",
            "1 passed",
            "append to",
        )
    ]
    assert places == sorted(places)
