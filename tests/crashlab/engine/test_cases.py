"""A failing trial leaves a directory that opens, replays, and is never written over."""

import json
import sqlite3
from contextlib import closing

import msgspec
import pytest

from crashlab.engine.campaign import Limits, run_campaign
from crashlab.engine.casedir import load_case
from crashlab.engine.events import Emitter
from crashlab.engine.replay import replay
from crashlab.errors import RecordError
from crashlab.model.case import Case
from crashlab.model.finding import Verdict
from crashlab.model.outcome import Outcome

CASE = Case("odd", 5, "kill@ack#9", {"steps": 30})


@pytest.fixture
def failing(make_road, tmp_path):
    return make_road(
        "odd_workloads:RestartForgets", "odd", keep=tmp_path / "kept" / "cases", environment={"python": "3.x"}
    )


def test_the_directory_holds_the_case_the_history_and_untouched_evidence(failing, tmp_path):
    outcome = failing.run(CASE, "t1")
    directory = tmp_path / "kept" / "cases" / CASE.case_id
    assert outcome.case_dir == str(directory)
    assert sorted(path.name for path in directory.iterdir()) == [
        "README.txt",
        "case.json",
        "environment.json",
        "evidence",
        "history.ndjson",
        "ledger.ndjson",
        "outcome.json",
    ]
    assert len((directory / "ledger.ndjson").read_text().splitlines()) == 9
    assert load_case(directory) == load_case(directory / "case.json") == CASE
    assert json.loads((directory / "environment.json").read_bytes()) == {"python": "3.x"}
    saved = msgspec.json.decode((directory / "outcome.json").read_bytes(), type=Outcome)
    assert saved == msgspec.structs.replace(outcome, case_dir="")
    history = [json.loads(line) for line in (directory / "history.ndjson").read_text().splitlines()]
    assert sum(line.get("state") == "acked" for line in history) == 9
    assert str(directory) in (directory / "README.txt").read_text()
    # As the fault left it, although the restart path then deleted every row.
    assert (directory / "evidence" / "state.db-wal").stat().st_size > 9 * 4096
    with closing(sqlite3.connect(directory / "evidence" / "state.db")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (9,)


def test_the_same_case_gets_another_directory(failing, tmp_path):
    first = failing.run(CASE, "t1").case_dir
    before = {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    second = failing.run(CASE, "t2").case_dir
    assert (first, second) == (
        str(tmp_path / "kept" / "cases" / CASE.case_id),
        str(tmp_path / "kept" / "cases" / f"{CASE.case_id}-1"),
    )
    assert {path: path.read_bytes() for path in before} == before


def test_nothing_is_kept_of_what_passes_or_on_request(make_road, failing, tmp_path):
    assert failing.run(CASE, "t1", keep=False).verdict is Verdict.FAIL
    passing = make_road(keep=tmp_path / "kept" / "cases")
    assert passing.run(Case("plain", 1, "kill@ack#3"), "t2").verdict is Verdict.PASS
    assert not (tmp_path / "kept").exists()


def test_a_case_replayed_from_its_directory_fails_again_every_time(failing, executor):
    directory = failing.run(CASE, "t1").case_dir
    replayed = replay(failing, load_case(directory), 5, executor, Limits(), Emitter())
    assert (replayed.case, replayed.times, replayed.judged, replayed.reproduced) == (CASE, 5, 5, 5)
    assert replayed.text == "reproduced 5/5"
    assert list(replayed.findings.values()) == [5] * len(replayed.findings)
    assert "durability/acked-row-lost · odd · process death" in replayed.findings
    assert replayed.examples[0].evidence


def test_a_replay_counts_what_did_not_fire_apart(make_road, executor):
    road = make_road()
    replayed = replay(road, Case("plain", 1, "kill@ack#51"), 3, executor, Limits(), Emitter())
    assert (replayed.judged, replayed.reproduced, replayed.missed) == (0, 0, 3)
    assert replayed.text == "reproduced 0/0 (the fault fired in 0 of 3 runs)"
    broken = make_road("odd_workloads:Exits", "odd")
    replayed = replay(broken, Case("odd", 1, "kill@ack#20"), 2, executor, Limits(), Emitter())
    assert (replayed.judged, len(replayed.errors)) == (0, 2)


def test_the_same_seed_gives_the_same_bytes_and_the_same_trial(make_road):
    road = make_road()
    first, second = (road.run(Case("plain", 9, "kill@phase=commit#8"), "t") for _ in range(2))
    assert first.case.encode() == second.case.encode()
    assert first.case.case_id == second.case.case_id
    assert (first.acked, first.found, first.phase, first.exposure.rows) == (7, 7, "commit", 7)
    assert (second.acked, second.found, second.phase, second.exposure.rows) == (7, 7, "commit", 7)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format_version":99}'])
def test_what_is_no_case_is_refused_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "case.json").write_bytes(content)
    with pytest.raises(RecordError) as caught:
        load_case(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_kept_directories_are_few_for_one_bug(failing, executor, tmp_path):
    cases = (Case("odd", seed, "kill@ack#2", {"steps": 3}) for seed in range(12))
    tally = run_campaign(failing, cases, executor, Limits(slots=1), Emitter())
    assert tally.count(Verdict.FAIL) == 12, [outcome.error for outcome in tally.outcomes]
    kept = [path.name for path in (tmp_path / "kept" / "cases").iterdir()]
    assert 3 <= len(kept) <= 6
    assert sum(bool(outcome.case_dir) for outcome in tally.outcomes) == len(kept)
