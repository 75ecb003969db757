"""Failing cases of a campaign get an autopsy in their directories, and nothing waits for it."""

import contextlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from crashlab.diagnosis.autopsy.listener import CaseAutopsies, autopsy_case, autopsy_cases
from crashlab.diagnosis.autopsy.report import Report
from crashlab.engine.campaign import Limits, run_campaign
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.program.case import PROGRAM_CASE, ProgramCase
from crashlab.engine.road import RealRoad
from crashlab.engine.subject import Subject
from crashlab.engine.workspace import Workspace
from crashlab.model.case import Case
from crashlab.model.event import Event, EventKind
from crashlab.model.finding import Verdict


def played(workload, tmp_path, *listeners):
    """A campaign of a single kill; its outcomes."""
    subject = Subject("planted", workload)
    with Workspace() as space, ThreadPoolExecutor(1) as executor:
        road = RealRoad(subject, space, keep=tmp_path / "cases", environment=environment_stamp(space.root))
        with contextlib.closing(road):
            cases = iter([Case("planted", 7, "kill@ack#6", {})])
            return run_campaign(road, cases, executor, Limits(slots=1), Emitter(*listeners)).outcomes


@pytest.mark.parametrize("side", ["Broken", "Twin"])
def test_a_planted_bug_s_case_names_the_mechanism(tmp_path, side):
    (outcome,) = played(f"crashlab.gallery.controls.ack_before_commit:{side}", tmp_path, CaseAutopsies())
    if side == "Twin":
        assert outcome.verdict is Verdict.PASS
        assert not (tmp_path / "cases").exists()
        return
    assert outcome.verdict is Verdict.FAIL
    (case,) = (tmp_path / "cases").iterdir()
    report = msgspec.json.decode((case / "autopsy.json").read_bytes(), type=Report)
    assert report.ledger.order == "suffix"
    assert "h2" in {named.id for named in report.first}  # an ack before its commit
    assert "e6" not in {named.id for named in report.first}
    assert "h2" in (case / "autopsy.txt").read_text()
    assert report.unchanged


def test_it_is_bounded_and_says_why_there_is_none(tmp_path):
    def finished(number):
        place = tmp_path / str(number)
        (place / "evidence").mkdir(parents=True)
        found = [{"identity": {"oracle": "o"}}]
        data = {"outcome": {"verdict": "FAIL", "case_dir": str(place), "findings": found}}
        return Event(number, 0, EventKind.TRIAL_FINISHED, str(number), data)

    listener = CaseAutopsies(cases_max=2)
    for number in range(3):
        listener(finished(number))
    listener(Event(9, 0, EventKind.CAMPAIGN_FINISHED, "", {"stop": "done"}))
    assert "has 0 files that could be the database" in (tmp_path / "0" / "autopsy.txt").read_text()
    assert (tmp_path / "1" / "autopsy.txt").exists()
    assert not (tmp_path / "2" / "autopsy.txt").exists()

    late = CaseAutopsies()
    late(finished(4))
    late(Event(9, 0, EventKind.CAMPAIGN_FINISHED, "", {"stop": "interrupted"}))
    assert not (tmp_path / "4" / "autopsy.txt").exists()


def test_each_database_of_a_program_s_case_gets_one_and_that_of_the_case_comes_first(tmp_path):
    case = tmp_path / "case"
    for name in ("a.db", "data/b.db"):
        path = case / "evidence" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("create table t(a)")
    with open(case / "evidence" / "data" / "b.db", "r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
    told = ProgramCase("program", "data/b.db", "kill@op=1", "identity", "message")
    (case / PROGRAM_CASE).write_bytes(msgspec.json.encode(told))
    assert autopsy_cases([case, tmp_path / "none"], seconds=60) < 60
    verdicts = [json.loads((case / f"autopsy{more}.json").read_bytes())["verdict"] for more in ("", "-2")]
    assert verdicts == ["damaged", "healthy"]
    assert (case / "autopsy.txt").read_text().count(str(case)) >= 2
    (case / "evidence" / "a.db").unlink()
    (case / "evidence" / "data" / "b.db").unlink()
    assert autopsy_case(case) is None
    assert "has no database" in (case / "autopsy.txt").read_text()
