"""The documentation is true: its code runs, its tables match the code, its links lead somewhere."""

import ast
import html
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import pytest

import crashlab
from crashlab.cli.main import COMMANDS, EXIT_INTERRUPTED, EXIT_USAGE
from crashlab.decide import config
from crashlab.decide.policy import Decision
from crashlab.faults.fault import KINDS, parse_fault
from crashlab.faults.hangup import HangUpFault
from crashlab.faults.kill import PHASES
from crashlab.gallery.exhibit import Kind
from crashlab.gallery.mechanisms import load_exhibits
from crashlab.model.event import EventKind
from crashlab.model.phase import Phase
from crashlab.oracles.all import ORACLES
from crashlab.pytest_plugin.settings import OPTIONS
from crashlab.report.exhibits_markdown import exhibits_markdown

ROOT = Path(__file__).resolve().parents[1]
OUTBOX = ROOT / "examples" / "outbox"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<kind>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SECONDS_MAX = 170


class Block(NamedTuple):
    """A fenced block: the comment right above it, its language, its text."""

    note: str
    kind: str
    text: str


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path) -> Iterator[Block]:
    for match in FENCE.finditer(read(path)):
        yield Block(match["note"] or "", match["kind"], match["text"])


def reference(page: str) -> str:
    return read(ROOT / "docs" / "reference" / f"{page}.md")


def section(text: str, title: str) -> str:
    """The part of a page under a heading, up to the next one of the same depth."""
    depth, _, rest = text.partition(f"# {title}\n")
    assert rest, f"no section {title!r}"
    marks = "#" * (len(depth) - len(depth.rstrip("#")) + 1)
    return re.split(rf"^{marks} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def run(*arguments: str, cwd: Path, code: int) -> str:
    """Run crashlab in a directory the way a user does, and return all it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from crashlab.cli import main; main()", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=SECONDS_MAX,
    )
    assert done.returncode == code, f"crashlab {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


# Links and code blocks of all pages.


def anchors(path: Path) -> set[str]:
    titles = HEADING.findall(FENCE.sub("", read(path)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(FENCE.sub("", read(page))):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), f"{name(page)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name(page)} links to {match['target']}: no such heading"


def test_a_page_of_the_site_links_to_no_file_outside_it() -> None:
    for page in PAGES:
        for match in LINK.finditer(FENCE.sub("", read(page))) if "docs" in page.parts else ():
            target = match["target"].partition("#")[0]
            if target and "://" not in target:
                assert (page.parent / target).resolve().is_relative_to(ROOT / "docs"), f"{name(page)}: {target}"


def test_every_page_is_in_the_navigation_and_the_index() -> None:
    navigation = read(ROOT / "mkdocs.yml")
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert f": {path}\n" in navigation, f"mkdocs.yml has no {path}"
        assert path == "index.md" or f"]({path})" in read(ROOT / "docs" / "index.md"), f"docs/index.md has no {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_and_toml_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "python":
            ast.parse(textwrap.dedent(block.text))
        elif block.kind == "toml":
            tomllib.loads(block.text)


# The README.


def test_readme_has_exactly_two_commands_that_set_themselves_up() -> None:
    shell = [block for block in blocks(ROOT / "README.md") if block.kind == "sh"]
    assert [block.note for block in shell] == ["command: gate", "command: tests"]
    setup = "python3 -m venv .venv && .venv/bin/python -m pip install -q -e '.[test]' && "
    assert [block.text.strip().removeprefix(setup) for block in shell] == [
        ".venv/bin/crashlab gate",
        ".venv/bin/python -m pytest -n auto",
    ]


def test_readme_has_the_same_two_for_windows() -> None:
    posix = [block.text.strip() for block in blocks(ROOT / "README.md") if block.kind == "sh"]
    (windows,) = [block.text.splitlines() for block in blocks(ROOT / "README.md") if block.kind == "bat"]
    assert windows == [
        command.replace("python3 ", "py ").replace("'", '"').replace(".venv/bin/", r".venv\Scripts" + "\\")
        for command in posix
    ]


def test_ci_runs_the_readme_s_test_command() -> None:
    """The script takes the command out of the README; it must find exactly the one."""
    script = read(ROOT / ".ci" / "run")
    pattern = re.search(r're\.findall\(r"(.+?)", readme', script)
    assert pattern
    found = re.findall(pattern[1].encode().decode("unicode_escape"), read(ROOT / "README.md"), re.DOTALL)
    assert found == [block.text.strip() for block in blocks(ROOT / "README.md") if block.note == "command: tests"]
    assert 'eval "$tests"' in script
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)


def test_readme_s_own_program_runs(tmp_path: Path) -> None:
    shutil.copy(OUTBOX / "outbox.py", tmp_path)
    for block in blocks(ROOT / "README.md"):
        if block.note.startswith("file: "):
            (tmp_path / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    assert "0/8" in run("run", "--fault", "kill@ack#17", "--trials", "8", cwd=tmp_path, code=0)


def test_readme_shows_a_gate_of_today() -> None:
    shown = read(ROOT / "docs" / "images" / "gate.txt")
    assert "](docs/images/gate.svg)" in read(ROOT / "README.md")
    drawn = re.findall(r"<text [^>]*>(.*?)</text>", read(ROOT / "docs" / "images" / "gate.svg"))
    assert [html.unescape(line) for line in drawn[1:]] == shown.splitlines(), "run docs/picture.py"
    for text in ("subject store", "controls", "process death", "terminal hang-up", "power loss (computed)", "GO"):
        assert text in shown
    for phase in PHASES:
        assert re.search(rf"\b{phase}\s+\d", shown), phase


# The reference pages against the code.


def keys(table: str) -> dict[str, str]:
    """`key` → default, of a table's rows."""
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Top level", config.Config),
        ("[subjects.NAME]", config.SubjectConfig),
        ("[gate]", config.GateConfig),
        ("[gate.policy]", config.Policy),
        ("[gate.schedules]", config.SchedulesConfig),
        ("[study]", config.StudyConfig),
    ],
)
def test_configuration_page_has_every_key(title: str, kind: type[msgspec.Struct]) -> None:
    shown = keys(section(reference("configuration"), title))
    assert set(shown) == set(kind.__struct_fields__) - {"root"}
    for field in msgspec.structs.fields(kind):
        default = field.default
        if field.name in shown and isinstance(default, str | int):
            shown_default = shown[field.name].strip("`")
            written = str(default).lower() if isinstance(default, bool) else str(default)
            assert shown_default == (f'"{default}"' if isinstance(default, str) else written), field.name


def generated(page: str, what: str) -> str:
    _, _, rest = page.partition(f"<!-- generated: {what} -->\n")
    block, end, _ = rest.partition(f"<!-- end of {what} -->")
    assert end, f"no generated {what}"
    return block


def test_mechanisms_page_has_every_exhibit_as_it_is() -> None:
    page = read(ROOT / "docs" / "mechanisms.md")
    exhibits = load_exhibits()
    shown = generated(page, "exhibits")
    assert shown.strip() == exhibits_markdown(exhibits.values()).strip(), "run docs/update_mechanisms.py"
    headings = {heading.casefold() for heading in re.findall(r"^###+ (\S+?):?(?:$| )", shown, re.MULTILINE)}
    for target in re.findall(r"\]\(#([a-z0-9-]+)\)", page):
        assert target in headings or target == "features", target


def test_mechanisms_page_s_table_is_a_recorded_run_of_every_exhibit() -> None:
    table = generated(read(ROOT / "docs" / "mechanisms.md"), "table")
    rows = dict(re.findall(r"^\| ((?!exhibit)[a-z]\S*) \| (.+) \|$", table, re.MULTILINE))
    for exhibit in load_exhibits().values():
        if exhibit.in_default_run:
            damage, control, result = rows.pop(exhibit.id).split(" | ")
            innocent = exhibit.kind is Kind.ACQUITTAL
            assert result.startswith(("as expected", "skipped")), exhibit.id
            if not result.startswith("skipped"):
                assert (damage, control) == (("0/20", "20/20") if innocent else ("20/20", "0/20")), exhibit.id
    assert not rows


def test_configuration_page_s_example_is_valid(tmp_path: Path) -> None:
    (example,) = [b.text for b in blocks(ROOT / "docs" / "reference" / "configuration.md") if b.kind == "toml"]
    file = tmp_path / "crashlab.toml"
    file.write_text(example, encoding="utf-8")
    assert config.load_config(file).gate.grid["reader"] == ["none", "pinned"]


def test_faults_page_has_every_kind_and_its_examples_are_canonical() -> None:
    page = reference("faults")
    overview = page.partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", overview, re.MULTILINE)) == set(KINDS)
    examples = [
        line
        for b in blocks(ROOT / "docs" / "reference" / "faults.md")
        if b.kind == "fault"
        for line in b.text.splitlines()
    ]
    assert {line.partition("@")[0] for line in examples} == set(KINDS)
    for line in examples:
        fault = parse_fault(line)
        assert parse_fault(str(fault)) == fault
        kind = line.partition("@")[0]
        row = re.search(rf"^\| `{kind}` \| (.+?) \|", overview, re.MULTILINE)
        assert row is not None
        assert row[1] == fault.fault_class.value
    assert {phase for phase in PHASES if f"phase={phase}" in "\n".join(examples)} == set(PHASES)
    assert isinstance(parse_fault("hangup@ack#5"), HangUpFault)


def test_glossary_has_every_phase() -> None:
    shown = re.findall(r"^\| `([\w-]+)` \|", section(reference("glossary"), "Phases"), re.MULTILINE)
    assert sorted(shown) == sorted(phase.value for phase in Phase)


def test_oracles_page_has_every_invariant() -> None:
    shown = set(re.findall(r"^\| `([\w-]+/[\w-]+)` \|", reference("oracles"), re.MULTILINE))
    known = {"books/NAME"}
    for oracle, judge in ORACLES:
        invariants = getattr(import_module(judge.__module__), "INVARIANTS", ())
        known |= {f"{oracle}/{invariant}" for invariant in invariants}
    assert shown == known


def test_records_page_has_every_event() -> None:
    page = section(reference("records"), "Events")
    for kind in EventKind:
        if kind not in (EventKind.NOTE, EventKind.ROW_STARTED):  # not emitted by anything yet
            assert f"| `{kind.value}` |" in page


def test_exit_codes_page_is_right() -> None:
    shown = dict(re.findall(r"^\| (\d+) \| (.+?) \|", reference("exit-codes"), re.MULTILINE))
    for decision in Decision:
        assert shown[str(decision.exit_code)].startswith(decision.value)
    assert shown[str(EXIT_USAGE)] == "usage or configuration"
    assert shown[str(EXIT_INTERRUPTED)] == "interrupted"
    assert len(shown) == 5
    for error in ("UsageError", "ConfigError", "SubjectError", "RecordError"):
        assert getattr(crashlab, error).exit_code == EXIT_USAGE
    assert crashlab.CrashlabError.exit_code == Decision.INCONCLUSIVE.exit_code


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line_page_has_every_option(command: str) -> None:
    module, _, attribute = COMMANDS[command].partition(":")
    known = {
        option
        for parameter in getattr(import_module(module), attribute).params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    text = re.search(rf"^## crashlab {command}\b.*?(?=^## |\Z)", reference("command-line"), re.MULTILINE | re.DOTALL)
    assert text
    assert set(re.findall(r"`(--[\w-]+)`", text[0])) == known
    assert f"`crashlab {command}" in read(ROOT / "README.md")


def test_plugin_page_has_every_option() -> None:
    shown = set(re.findall(r"^\| `--crashlab-([\w-]+)` \|", reference("pytest-plugin"), re.MULTILINE))
    assert shown == {"gate", "replay", "reduce", *(option.name for option in OPTIONS)}


def test_api_page_names_what_exists() -> None:
    for target in re.findall(r"^::: (\S+)$", reference("api"), re.MULTILINE):
        module, _, attribute = target.rpartition(".")
        if attribute.islower() and module == "crashlab":
            assert import_module(target).__doc__, target
        else:
            assert getattr(import_module(module), attribute).__doc__, target
            assert attribute in crashlab.__all__


def test_api_page_has_every_public_name() -> None:
    page = reference("api")
    for public in set(crashlab.__all__) - {"__version__"}:
        assert re.search(rf"^::: crashlab\S*\.{public}$|`{public}`", page, re.MULTILINE), f"api.md has no {public}"
