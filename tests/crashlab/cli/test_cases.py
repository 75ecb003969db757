"""Cases from elsewhere: nothing of a stranger's is run, nothing of anybody's is overwritten."""

import json

import pytest

from crashlab.cli import replay as replay_module
from crashlab.model.case import Case

CASE = Case("good", 7, "kill@ack#3")


@pytest.fixture
def nothing_runs(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a writer would have been started")

    monkeypatch.setattr(replay_module, "RealRoad", refuse)


def altered(**changes):
    return json.dumps({**json.loads(CASE.encode()), **changes}).encode()


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a case file"),
        (CASE.encode()[:40], "not a case file"),
        (b'{"name": "something else"}', "format version 0, this crashlab reads up to 1"),
        (b"\x00\x01\x02", "not a case file"),
        (b"[" * 100_000, "not a case file"),
        (b" " * (1 << 20) + b"{}", "expected at most 1048576: not a case file"),
        (altered(format_version=2), "format version 2, this crashlab reads up to 1; upgrade crashlab to replay it"),
        (altered(command="rm -rf /"), "not a case file (Object contains unknown field `command`)"),
        (altered(subject="os:system"), "unknown subject 'os:system'"),
        (altered(subject="../../etc/passwd"), "is not a subject's name"),
        (altered(subject="evil\x1b[2J"), r"subject 'evil\x1b[2J' is not a subject's name"),
        (altered(fault="kil@ack#1"), "did you mean 'kill'?"),
        (altered(fault="kill@ack#1 delay=\x1b[2J"), r"delay=\x1b[2J, expected a duration"),
        (altered(deadline_s=1e9), "deadline_s = 1000000000.0, expected more than 0 and at most 3600"),
        (altered(deadline_s=0), "deadline_s = 0.0, expected more than 0"),
        (altered(seed=-1), "seed = -1, expected 0 to 2**64 - 1"),
        (altered(seed=2**70), "case.json: "),
    ],
)
def test_a_case_that_is_none(refused, project, data, said):
    path = project.directory / "case.json"
    path.write_bytes(data)
    assert said in refused("replay", path)
    assert path.read_bytes() == data


@pytest.mark.usefixtures("nothing_runs")
def test_a_case_that_is_not_there(refused, project):
    assert "case nowhere: No such file or directory; expected a case directory or its case.json" in refused(
        "replay", "nowhere"
    )
    assert "case.json: No such file or directory; expected a case directory" in refused("replay", project.directory)
    (project.directory / "cases").mkdir()
    assert "the cases of this run are in" in refused("replay", project.directory)


def test_parameters_that_the_subject_has_not(refused, project):
    path = project.directory / "case.json"
    path.write_bytes(altered(params={"evry": 1}))
    assert "declares no parameter 'evry'; it has: every, label, steps; did you mean 'every'?" in refused("replay", path)


def test_a_fault_that_never_fires_is_no_evidence(crashlab, project):
    path = project.directory / "case.json"
    path.write_bytes(altered(fault="kill@ack#9999"))
    answer = crashlab("replay", path, "--times", 2)
    assert answer.code == 3
    assert "reproduced 0/0 (the fault fired in 0 of 2 runs)" in answer.out


def test_a_writer_that_hangs_is_killed_at_its_deadline(crashlab, project):
    path = project.directory / "case.json"
    path.write_bytes(altered(subject="hangs", fault="kill@ack#9999", deadline_s=0.5))
    answer = crashlab("replay", path, "--times", 2, "--format", "json", "--format", "ndjson=events")
    assert answer.code == 3
    again = json.loads(answer.out)
    assert (again["judged"], again["missed"], len(again["errors"])) == (0, 0, 2)
    assert again["errors"][0] == "the writer was still running at its deadline of 0.5 s and was killed"
    assert "ERROR: the writer was still running" in answer.err
    kinds = [json.loads(line)["kind"] for line in (project.directory / "events").read_text().splitlines()]
    assert kinds == ["campaign-started", "trial-finished", "trial-finished", "campaign-finished"]
