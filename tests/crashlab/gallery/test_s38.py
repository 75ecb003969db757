"""S38 end to end: real terminals, real writers, real files."""

import io
import json
import os
import sys
import tempfile
from pathlib import Path

import msgspec
import psutil
import pytest
from click.testing import CliRunner
from rich.console import Console

from crashlab.cli.repro import repro
from crashlab.errors import LabError, RecordError, UsageError
from crashlab.gallery.s38 import running
from crashlab.gallery.s38.result import (
    COPIED_WHOLE,
    MAIN_ALONE,
    RESTARTED,
    WAL_DELETED,
    Reproduction,
    decode_reproduction,
)
from crashlab.gallery.s38.running import draw_plan, reproduce, run_once
from crashlab.gallery.s38.text import S38Text
from crashlab.gallery.s38.words import again, conclusions, log_lines, summary
from crashlab.model.finding import Verdict
from crashlab.writers.launcher import make_launcher
from crashlab.writers.order import OnHangUp

HERE = str(Path(__file__).parent)
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a writer forked onto a pty")


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path, monkeypatch):
    """Every test here must leave no temporary file and no process."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = psutil.Process().children(recursive=True)
    yield
    assert list(scratch.iterdir()) == []
    assert [child for child in psutil.Process().children(recursive=True) if child not in before] == []


@pytest.fixture
def run_planted(tmp_path):
    def run(name, **changes):
        launcher = make_launcher(f"planted_engines:{name}", (HERE,))
        place = tmp_path / "planted"
        place.mkdir()
        kind = changes.pop("on", OnHangUp.DEFAULT)
        try:
            plan = msgspec.structs.replace(draw_plan(3, 0, on=kind, grace_s=5.0), **changes)
            return run_once(plan, launcher, place)
        finally:
            launcher.close()

    return run


def printed(result: Reproduction, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(S38Text(result))
    return console.file.getvalue()


@on_linux
@pytest.mark.parametrize("auto_checkpoint", [0, 1000])
def test_the_close_loses_nothing_and_losing_the_wal_loses_rows(auto_checkpoint):
    result = reproduce(11, auto_checkpoint=auto_checkpoint)
    run = result.shown
    assert (run.verdict, run.how, run.problems) == (Verdict.PASS, "ended by SIGHUP", ())
    assert run.acked == run.plan.rows
    for kept in (RESTARTED, COPIED_WHOLE):
        fate = run.fate(kept)
        assert (fate.found, fate.lost, fate.unacked, fate.ended_mark) == (run.acked, 0, 0, False)
        assert fate.sound
    for name in (WAL_DELETED, MAIN_ALONE):
        fate = run.fate(name)
        assert fate.lost == run.on_disk.exposed_rows > 0
        assert (fate.lost_last, fate.lost_gap, fate.unacked) == (run.acked, False, 0)
        assert fate.sound, "losing the WAL is silent: SQLite's checks see nothing"
    if not auto_checkpoint:
        assert run.fate(WAL_DELETED).found == run.plan.settled


@on_linux
def test_what_is_on_disk_is_read_before_sqlite_touches_it():
    found = reproduce(12, auto_checkpoint=0).shown.on_disk
    assert found.sizes["engine.db-wal"] > 0
    assert found.exposed_frames == found.frames_committed > 0
    assert found.commits == found.exposed_commits == found.exposed_rows
    assert found.frames_uncommitted > 0, "the open transaction must have spilled into the WAL"
    assert found.frames_unread > 0
    assert found.frames_old == 0, "the WAL began empty after the earlier session's clean end"
    assert (found.main_alone, found.exposed_s > 0) == ("readable", True)


@on_linux
def test_an_auto_checkpoint_leaves_frames_of_an_earlier_round():
    found = reproduce(12, auto_checkpoint=1000).shown.on_disk
    assert found.frames_old > 0
    assert found.frames_committed + found.frames_uncommitted + found.frames_unread + found.frames_old == (
        (found.sizes["engine.db-wal"] - 32) // (4096 + 24)
    )


@on_linux
@pytest.mark.parametrize(
    ("kind", "grace_s", "close_s", "how"),
    [
        (OnHangUp.IGNORE, 0.15, 0.0, "killed at the end of the grace"),
        (OnHangUp.PRINT, 5.0, 0.0, "ended by EIO on its next print"),
        (OnHangUp.HANDLE, 0.2, 3.0, "killed at the end of the grace"),
    ],
)
def test_other_kinds_of_writer_lose_no_more(kind, grace_s, close_s, how):
    run = reproduce(5, on=kind, grace_s=grace_s, close_s=close_s).shown
    assert (run.verdict, run.how) == (Verdict.PASS, how)
    assert run.fate(RESTARTED).lost == 0
    assert not run.fate(RESTARTED).ended_mark
    assert run.fate(WAL_DELETED).lost > 0


@on_linux
def test_a_handler_with_time_to_close_leaves_nothing_in_the_wal():
    run = reproduce(5, on=OnHangUp.HANDLE).shown
    assert (run.verdict, run.how) == (Verdict.PASS, "ended by its own handler, exit code 0")
    assert run.fate(RESTARTED).ended_mark
    assert [fate.lost for fate in run.fates] == [0, 0, 0, 0]
    assert "no WAL" in log_lines(run.on_disk)[0]
    assert "lost nothing" in dict(conclusions(run))["interference: sidecar deleted"]


@on_linux
def test_a_main_file_that_was_never_checkpointed_has_no_tables(run_planted):
    run = run_planted("Engine", settled=0, auto_checkpoint=0)
    assert (run.verdict, run.on_disk.main_alone) == (Verdict.PASS, "no-schema")
    alone = run.fate(MAIN_ALONE)
    assert (alone.found, alone.lost, alone.sound) == (0, run.acked, True)
    assert "made its tables anew" in dict(conclusions(run))["interference: sidecar deleted"]


@on_linux
def test_an_ack_before_the_commit_is_a_failure(run_planted):
    run = run_planted("AcksBeforeCommit")
    assert run.verdict is Verdict.FAIL
    lost = f"lost 1 acked rows, {run.plan.rows} to {run.plan.rows}"
    assert [problem.split(": ", 1)[1] for problem in run.problems] == [lost, lost]
    result = Reproduction(3, 1, (run,), "", {"sqlite": "3", "python": "3", "system": "x", "file_system": "y"})
    assert result.exit_code == 1
    assert "contradicts what SQLite promises" in printed(result)


@on_linux
def test_its_twin_with_nothing_exposed_loses_nothing(run_planted):
    run = run_planted("LeavesNoBacklog")
    assert (run.verdict, run.problems) == (Verdict.PASS, ())
    assert (run.on_disk.exposed_frames, run.fate(WAL_DELETED).lost) == (0, 0)


@on_linux
def test_a_writer_that_had_ended_before_is_missed(run_planted):
    run = run_planted("Engine", fault="hangup@ack#99999", hold_s=0.0)
    assert (run.verdict, run.fates, run.on_disk) == (Verdict.MISSED, (), None)
    assert "never closed on a running writer" in run.how
    result = Reproduction(3, 1, (run,), "", {"sqlite": "3", "python": "3", "system": "x", "file_system": "y"})
    assert (result.exit_code, run.reproduced) == (3, False)
    text = printed(result)
    assert "Nothing was reproduced" in text
    assert "0 of 1 runs (1 MISSED)" in text


@on_linux
def test_a_writer_that_died_of_something_else_is_missed(run_planted):
    run = run_planted("DiesOfItself", fault=str(draw_plan(3, 0, on=OnHangUp.IGNORE).fault))
    assert run.verdict is Verdict.MISSED
    assert "for another reason" in run.how
    assert "nothing to do with the terminal" in run.how


@on_linux
def test_a_writer_that_hangs_is_an_error_at_its_deadline(run_planted):
    run = run_planted("NeverEnds", fault="hangup@ack#99999", hold_s=0.0, deadline_s=1.0)
    assert run.verdict is Verdict.ERROR
    assert "deadline of 1 s" in run.how


@on_linux
def test_runs_differ_are_counted_and_stop_at_the_deadline():
    result = reproduce(1, runs=3)
    assert (result.count(Verdict.PASS), result.stopped, result.exit_code) == (3, "", 0)
    assert len({run.plan.rows for run in result.runs}) > 1
    assert summary(result).startswith("Reproduced in 3 of 3 runs.")
    cut = reproduce(1, runs=500, deadline_s=0.2)
    assert 1 <= len(cut.runs) < 500
    assert "deadline of 0.2 s" in cut.stopped
    assert cut.exit_code == 3
    assert "Stopped early" in summary(cut)


@on_linux
def test_ctrl_c_keeps_the_runs_that_are_done():
    def interrupt(done, _of):
        if done == 2:
            raise KeyboardInterrupt

    result = reproduce(1, runs=10, progress=interrupt)
    assert (len(result.runs), result.stopped) == (2, "interrupted after 2 of 10 runs")
    assert result.exit_code == 130


def test_the_same_seed_gives_the_same_plan():
    assert draw_plan(4, 2) == draw_plan(4, 2)
    assert draw_plan(4, 2) != draw_plan(4, 3)
    own = draw_plan(4, 2).seed
    assert draw_plan(own, 0) == draw_plan(4, 2), "a run's own seed replays it as a first run"


@on_linux
def test_the_record_reads_back_and_refuses_what_is_none():
    result = reproduce(2)
    assert decode_reproduction(result.encode()) == result
    with pytest.raises(RecordError, match="not a record"):
        decode_reproduction(b'{"nonsense": 1}')
    newer = json.loads(result.encode()) | {"format_version": 99}
    with pytest.raises(RecordError, match="format version 99"):
        decode_reproduction(json.dumps(newer).encode())


@on_linux
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_text_fits_and_names_the_classes(width):
    result = reproduce(2)
    text = printed(result, width)
    longest_command = max(len(line) for line in again(result)) + 2
    assert max(len(line.rstrip()) for line in text.splitlines()) <= max(min(width, 110), longest_command)
    if width >= 80:
        assert sum(line.endswith("ok           ok") for line in map(str.rstrip, text.splitlines())) == 4
    words = " ".join(text.split())
    for phrase in (
        "process death by hang-up",
        "interference: sidecar deleted",
        "copy without its WAL",
        "nothing about a power loss",
        "In the field",
        "crashlab repro s38 --seed 2",
    ):
        assert phrase in words


@on_linux
def test_the_commands_given_run_it_again_with_the_same_settings():
    result = reproduce(7, on=OnHangUp.HANDLE, grace_s=0.2, close_s=2.0, auto_checkpoint=0)
    words = again(result)[0].split()
    assert words[:3] == ["crashlab", "repro", "s38"]
    outcome = CliRunner().invoke(repro, [*words[2:], "--format", "json"], standalone_mode=False)
    replayed = decode_reproduction(outcome.stdout_bytes)
    assert (replayed.shown.plan.fault, replayed.shown.plan.rows) == (result.shown.plan.fault, result.shown.plan.rows)
    assert replayed.shown.how == result.shown.how == "killed at the end of the grace"
    assert outcome.return_value == 0


@on_linux
def test_the_command_prints_text_and_ends_with_the_exit_code():
    outcome = CliRunner().invoke(repro, ["s38", "--seed", "3", "--runs", "2"], standalone_mode=False)
    assert outcome.return_value == 0, outcome.exception
    assert "closing the console lost 0 of" in " ".join(outcome.stdout.split())
    assert "Reproduced in 2 of 2 runs" in outcome.stdout


def test_the_command_lists_what_there_is():
    outcome = CliRunner().invoke(repro, ["--list"], standalone_mode=False)
    assert outcome.stdout.startswith("s38 ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s39"], "did you mean 's38'?"),
        (["zebra"], "unknown exhibit 'zebra'; 'crashlab repro --list'"),
        ([], "no exhibit named; 'crashlab repro --list'"),
        (["s38", "--grace", "0"], "grace is 0 s"),
        (["s38", "--grace", "nan"], "grace is nan s"),
        (["s38", "--close-takes", "2"], "never gets to close"),
        (["s38", "--on", "handle", "--close-takes", "-1"], "close takes -1 s"),
        (["s38", "--deadline", "0"], "deadline is 0 s"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    outcome = CliRunner().invoke(repro, arguments, standalone_mode=False)
    assert isinstance(outcome.exception, UsageError)
    assert message in str(outcome.exception)
    assert "\n" not in str(outcome.exception)


def test_a_platform_without_terminals_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(running.sys, "platform", "win32")
    with pytest.raises(UsageError, match="can't be reproduced on win32"):
        reproduce()


@on_linux
def test_a_machine_that_has_no_terminal_to_give_is_an_error_of_the_lab(monkeypatch):
    def refuse():
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(os, "openpty", refuse)
    with pytest.raises(LabError, match="is /dev/pts mounted"):
        reproduce()


@on_linux
def test_no_place_for_temporary_files_is_an_error_of_the_lab(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        with pytest.raises(LabError, match="set TMPDIR"):
            reproduce()
