"""`crashlab report` as a user runs it: on good records, on bad ones, and beside files that are his."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from crashlab.cli import main

RECORDS = Path(__file__).parents[2] / "golden" / "report" / "records.ndjson"


@pytest.fixture
def crashlab(tmp_path, monkeypatch, capfdbinary):
    """Run the command line in an empty directory; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    shutil.copy(RECORDS, tmp_path / "records.ndjson")

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main(args)
        out = capfdbinary.readouterr()
        return ended.value.code, out.out.decode(), out.err.decode()

    return run


def test_text_on_the_terminal_and_files_beside_it(crashlab, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    formats = ["--format=text", "--format=junit=a.xml", "--format=github=a.gh", "--format=markdown=a.md"]
    formats += ["--format=json=a.json", "--format=ndjson=a.ndjson"]
    code, out, err = crashlab("report", "records.ndjson", *formats)
    assert (code, err) == (0, "")
    assert out.startswith(" FAIL   outbox-batched\n")
    assert "crashlab replay /home/me/app/" in out
    assert ET.parse("a.xml").getroot().tag == "testsuites"
    assert Path("a.gh").read_text().startswith("::error title=")
    assert Path("step.md").read_text() == Path("a.md").read_text()
    assert msgspec.json.decode(Path("a.json").read_bytes())["counts"]["judged"] == 14
    assert Path("a.ndjson").read_bytes() == Path("records.ndjson").read_bytes()
    code, again, _ = crashlab("report", "a.ndjson")
    assert code == 0
    assert again.replace("a.ndjson", "records.ndjson") == out


@pytest.mark.parametrize("name", ["json", "ndjson", "junit", "github", "markdown"])
def test_standard_output_carries_the_format_alone(crashlab, name):
    code, out, err = crashlab("report", ".", "--format", name)
    assert code == 0
    assert out.startswith({"json": "{", "ndjson": "{", "junit": "<?xml", "github": "::error", "markdown": "## "}[name])
    assert err.count("\n") == (name == "github")


def test_nothing_of_his_is_overwritten(crashlab):
    Path("mine.md").write_text("mine")
    code, out, err = crashlab("report", ".", "--format=markdown=mine.md")
    assert (code, out) == (2, "")
    assert err == "crashlab: --format markdown=mine.md: mine.md exists and is never overwritten; name a new file\n"
    assert Path("mine.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["report", "none"], "none: no such file; name a records.ndjson, or the directory of a run"),
        (["report", "foreign.json"], "foreign.json: not the records of a campaign"),
        (["report", "bad.ndjson"], "bad.ndjson, line 3: no event of a campaign"),
        (["report", ".", "--format=htlm"], "unknown format 'htlm'; known: text, json, ndjson, junit, html"),
        (["report", ".", "--format=json=no/such/a.json"], "the directory no"),
        (["report", "--compare", "."], "--compare takes two records, A and B; given: 1"),
        (["report", "--compare", ".", ".", "--format=junit"], "--format junit is given: a comparison has no such form"),
        (["report"], "Missing argument 'RECORDS...'"),
    ],
)
def test_bad_input_is_one_line(crashlab, args, said):
    Path("foreign.json").write_text('{"hello": "world"}\n')
    lines = Path("records.ndjson").read_bytes().splitlines(keepends=True)
    Path("bad.ndjson").write_bytes(b"".join([*lines[:2], b"\x00\xff\n", *lines[2:]]))
    code, out, err = crashlab(*args)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_torn_last_line_is_told_and_the_rest_counts(crashlab):
    data = Path("records.ndjson").read_bytes()
    Path("torn.ndjson").write_bytes(data[:-40])
    code, out, _ = crashlab("report", "torn.ndjson")
    assert code == 0
    assert "a torn last line of" in out
    assert "its records end before its end" in out


def test_an_empty_campaign_has_no_report(crashlab):
    Path("empty.ndjson").write_bytes(b"")
    code, out, _ = crashlab("report", "empty.ndjson")
    assert code == 3
    assert "no trial was run, so nothing is known" in out
    code, _, err = crashlab("report", "empty.ndjson", "--format=json")
    assert (code, err) == (3, "crashlab: no trial was run, so there is nothing to report\n")


def test_compare(crashlab):
    for name in ("text", "markdown", "json"):
        code, out, err = crashlab("report", "--compare", "records.ndjson", ".", f"--format={name}")
        assert (code, err) == (0, "")
        assert "nothing that is recorded" in out or name == "json"


def test_run_has_the_formats_too(crashlab, tmp_path):
    app = Path(__file__).with_name("small_app.py")
    shutil.copy(app, tmp_path)
    Path("crashlab.toml").write_text('[subjects.early]\nworkload = "small_app:AcksTooEarly"\n')
    code, out, err = crashlab(
        "run", "--trials=3", "--fault=kill@ack#5", "--format=github", "--format=junit=a.xml", "--format=json=a.json"
    )
    assert code == 1
    assert out.startswith("::error title=crashlab%3A durability/")
    assert ET.parse("a.xml").getroot().attrib["failures"] != "0"
    assert "GITHUB_STEP_SUMMARY is not set" in err
    code, again, _ = crashlab("report", ".crashlab/runs/run-0001", "--format=github")
    assert (code, again) == (0, out)


def test_a_format_that_a_form_does_not_have(crashlab):
    code, _, err = crashlab("run", "--format=junit=a.xml", "--", "python", "app.py")
    assert code == 2
    assert "--format junit is given" in err
    assert not Path("a.xml").exists()
