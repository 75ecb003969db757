"""The commands as a user types them, on a small program and on its broken twin."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from crashlab.decide.evidence import GateReport, Row, RowResult
from crashlab.model.event import Event
from crashlab.report.plain import printable

needs_fork = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="phases need writers that are forked")


@pytest.mark.slow
@needs_fork
def test_go_on_a_correct_program(crashlab, project):
    answer = crashlab("gate", "--format", "json", "--format", "text=gate.txt", "--format", "ndjson=events.ndjson")
    assert answer.code == 0, answer
    # Standard output carries the format and nothing else; people read standard error.
    report = msgspec.json.decode(answer.out, type=GateReport)
    assert (report.decision, report.subject, report.seed, report.stop) == ("GO", "good", 1, "all cases run")
    assert " GO " in answer.err
    assert report.trials >= 60
    assert report.kills >= 40
    assert all(hits >= 1 for hits in report.phase_hits.values())
    assert len(report.phase_hits) == 7
    controls = [row for row in report.rows if row.group == "controls"]
    assert [row.result for row in controls].count(RowResult.OK) == len(controls)
    traced = [row for row in report.rows if row.group == "trace road"]
    assert [row.result for row in traced].count(RowResult.OK) == len(traced) >= 3
    assert report.states > 400
    assert {"every=3", "every=5"} <= {row.name.split()[-1] for row in report.rows}
    # The same content everywhere: the kept report, the events, the text file.
    (run,) = project.runs()
    assert report.records == str(run)
    assert msgspec.json.decode((run / "report.json").read_bytes(), type=GateReport) == report
    lines = (run / "records.ndjson").read_bytes().splitlines()
    assert (project.directory / "events.ndjson").read_bytes().splitlines() == lines
    events = [msgspec.json.decode(line, type=Event) for line in lines]
    assert [event.seq for event in events] == list(range(len(events)))
    assert {event.format_version for event in events} == {1}
    assert msgspec.convert(events[-1].data["report"], GateReport) == report
    rows = [msgspec.convert(event.data["row"], Row) for event in events if event.kind == "row-finished"]
    assert tuple(rows) == report.rows
    assert sum(event.kind == "trial-finished" for event in events) == report.trials
    text = (project.directory / "gate.txt").read_text()
    assert text in answer.err.replace("\r", "")
    assert printable(text) == text


@needs_fork
@pytest.mark.slow  # tests/plugin/test_gate.py says NO-GO to it, too
def test_no_go_on_its_broken_twin_with_a_command_that_replays(project):
    process = project.popen("gate", "--subject", "early", "--seed", "3")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert err == ""
    assert " NO-GO " in out
    assert "durability/acked-row-lost: violated; " in out
    (command, *_) = [line.strip() for line in out.splitlines() if line.strip().startswith("crashlab replay ")]
    words = shlex.split(command)
    assert Path(words[2]).is_dir()
    pasted = subprocess.run(
        [sys.executable, "-c", "from crashlab.cli import main; main()", *words[1:], "--times", "6"],
        cwd=project.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert pasted.returncode == 1, pasted
    assert "reproduced " in pasted.stdout
    judged = next(line for line in pasted.stdout.splitlines() if line.startswith("reproduced ")).split()[1]
    failed, of = judged.split("/")
    assert 1 <= int(failed) <= int(of) <= 6
    assert "durability/acked-row-lost · early · process death" in pasted.stdout


def test_run_finds_it_names_it_and_says_how_to_replay(crashlab, project):
    """From another directory, with spaces in the paths: the command is pasted as it stands."""
    elsewhere = project.directory / "an other place"
    elsewhere.mkdir()
    answer = crashlab(
        *("run", "--subject", "early", "--trials", 6, "--fault", "kill@ack#5", "--fault", "kill@ack#6"),
        *("--config", project.config, "--results", elsewhere, "--format", "json=row.json"),
    )
    assert answer.code == 1, answer
    assert "FAIL durability/acked-row-lost · early · process death in " in answer.out
    (command,) = [line.split(maxsplit=1)[1] for line in answer.out.splitlines() if line.strip().startswith("replay")]
    words = shlex.split(command)
    assert words[:2] == ["crashlab", "replay"]
    assert words[3:] == ["--config", str(project.config)]
    row = msgspec.json.decode((project.directory / "row.json").read_bytes(), type=Row)
    assert row.result is RowResult.FAIL
    assert "durability/acked-row-lost" in row.invariants
    again = crashlab(*words[1:], "--times", 3)
    assert again.code == 1, again
    assert "reproduced 3/3" in again.out


def test_run_passes_and_says_what_that_is_worth(crashlab, project):
    answer = crashlab("run", "--trials", 8, "--fault", "kill@ack#4", "--format", "ndjson")
    assert answer.code == 0, answer
    events = [msgspec.json.decode(line, type=Event) for line in answer.out.splitlines()]
    kinds = ["run-started", "campaign-started", *["trial-finished"] * 8, "campaign-finished"]
    assert [e.kind for e in events] == kinds
    assert "0/8, 95 % upper bound 32 % of the judged trials failed (all cases run)" in answer.err


def test_what_the_program_prints_is_not_in_the_report(project):
    process = project.popen("run", "--subject", "noisy", "--trials", "2", "--format", "json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["judged"] == 2
    assert "noise" not in err


def test_run_with_parameters(crashlab, project):
    answer = crashlab("run", "--trials", 2, "--fault", "none", "--param", "steps=3", "--format", "ndjson")
    assert answer.code == 0, answer
    outcomes = [e["data"]["outcome"] for e in map(json.loads, answer.out.splitlines()) if e["kind"] == "trial-finished"]
    assert [(o["acked"], o["case"]["params"]["steps"]) for o in outcomes] == [(3, 3), (3, 3)]


def test_a_run_without_evidence_is_no_pass(crashlab, project):
    answer = crashlab("run", "--trials", 2, "--fault", "kill@ack#9999")
    assert answer.code == 3, answer
    assert "MISSED 2: " in answer.out


@pytest.mark.slow
def test_bench_kills(crashlab, project):
    answer = crashlab("bench", "kills", "--rounds", 1, "--format", "json=figures.json", "--format", "text")
    assert answer.code == 0, answer
    (figure,) = json.loads((project.directory / "figures.json").read_bytes())
    assert figure["rate"] > 0
    assert figure["ratio"] == pytest.approx(figure["rate"] / figure["baseline"])
    assert "real kill trials, one in flight: " in answer.out


def test_registered_benches_run_by_their_name(crashlab, project):
    (project.directory / "bench_app.py").write_text(
        "from crashlab.decide.bench import compare\n"
        "def bench(*, rounds):\n"
        "    yield compare('two', lambda: 4.0, lambda: 2.0, rounds=rounds, unit='x/s')\n"
    )
    with open(project.config, "a") as file:
        file.write('[bench]\nmine = "bench_app:bench"\n')
    answer = crashlab("bench", "mine", "--rounds", 3, "--format", "ndjson")
    assert answer.code == 0, answer
    (figure,) = [json.loads(line) for line in answer.out.splitlines()]
    assert (figure["name"], figure["ratio"], figure["rounds"]) == ("two", 2.0, 3)
