"""The gate as people read it.

`tests/golden/gate.txt` is the rendering of `REPORT` at 120 columns. After a change that is meant:

    CRASHLAB_UPDATE_GOLDEN=1 python -m pytest tests/crashlab/report

and read the difference before it is committed.
"""

import io
import os
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from crashlab.decide.evidence import ExposureSummary, GateReport, Row, RowResult
from crashlab.report.text import print_gate

GOLDEN = Path(__file__).parents[2] / "golden" / "gate.txt"
EXPOSED = ExposureSummary(frames_p95=373, frames_max=380, rows_p95=190, rows_max=191, seconds_p95=0.4, trials=41)
DEATH = "process death"
REPORT = GateReport(
    decision="NO-GO",
    reasons=(
        "durability/acked-row-lost: violated; 3 of 3000 trials failed in kill  interval=0.05  reader=pinned",
        "order/gap: violated; 3 of 3000 trials failed in kill  interval=0.05  reader=pinned",
    ),
    subject="store",
    seed=7,
    rows=(
        Row("preflight", "database .coverage", RowResult.OK, judged=1, detail="checked by backup in another process"),
        Row("environment", "SQLite 3.53.4", RowResult.OK, detail="2026-07-30 10:00:00 0123456789abcdef"),
        Row(
            "environment",
            "advisory wal-reset",
            RowResult.WARN,
            detail="SQLite 3.40.1 is in the affected range of the WAL-reset bug (fixed in 3.51.3, 3.50.7, 3.44.6): "
            "https://sqlite.org/wal.html#walresetbug. Needs: a checkpoint while another connection writes",
        ),
        Row("controls", "ack before commit", RowResult.OK, judged=6, detail="caught: durability/acked-row-lost 3/3"),
        Row(
            "controls",
            "durability promised for power loss under synchronous=OFF",
            RowResult.NOT_JUDGED,
            detail="only the trace road can show it: nothing is ever synced",
        ),
        Row("controls", "row dropped by a swallowed error", RowResult.MISSED, detail="it slipped by in 8 trials"),
        Row(DEATH, "no fault, clean close", RowResult.OK, DEATH, judged=104, exposure=EXPOSED),
        Row(DEATH, "kill  interval=0  reader=none", RowResult.OK, DEATH, judged=3000, missed=3),
        Row(
            DEATH,
            "kill  interval=0.05  reader=pinned",
            RowResult.FAIL,
            DEATH,
            judged=3000,
            failures=3,
            missed=2,
            errors=1,
            exposure=EXPOSED,
            invariants=("durability/acked-row-lost", "order/gap"),
        ),
        Row(DEATH, "terminal hang-up, program: handle", RowResult.INCONCLUSIVE, DEATH, errors=2, detail="disk full"),
        Row(DEATH, "terminal hang-up, program: print", RowResult.MISSED, DEATH, missed=2, detail="it never fired"),
    ),
    phase_hits={"start-up": 31, "commit": 860, "checkpoint": 29},
    phase_hits_min=30,
    trials=6114,
    kills=5990,
    seconds=61.2,
    stop="all cases run",
    environment={"os": "Linux 6.1", "python": "CPython 3.13.1", "sqlite": "3.53.4", "file_system": "tmpfs"},
    settings={"journal_mode": "wal"},
    records="/home/me/a project/.crashlab/runs/gate-0001",
    commands=("crashlab replay '/home/me/a project/.crashlab/runs/gate-0001/cases/0123456789ab' --config my.toml",),
)


def rendered(report, width=120, **more):
    file = io.StringIO()
    print_gate(Console(file=file, width=width, **more), report)
    return file.getvalue()


def test_the_gate_looks_like_this():
    text = rendered(REPORT)
    if os.environ.get("CRASHLAB_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_it_fits_and_has_no_loose_ends():
    lines = rendered(REPORT).splitlines()
    assert max(len(line) for line in lines) <= 120
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("width", [40, 80, 300])
def test_a_command_stays_in_one_piece(width):
    assert REPORT.commands[0] in rendered(REPORT, width)
    assert REPORT.records in rendered(REPORT, width)


@pytest.mark.parametrize(
    ("environment", "colour"),
    [
        ({"NO_COLOR": "1", "TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_those_who_want_it(environment, colour):
    text = rendered(REPORT, force_terminal=True, _environ=environment)
    assert ("\x1b[31m" in text or "\x1b[1;31m" in text) is colour
    assert "NO-GO" in text


HOSTILE = (
    "[bold green]GO[/bold green] [/] [link=http://x]y[/link] \x1b[2J\x1b]0;title\x07 \x9b31m\r\n GO \n\u202egnorw\ud800"
)


def test_other_peoples_text_is_shown_and_not_obeyed():
    """Names, errors, paths and rows are other people's: no escape sequence, no markup, no line of their own."""
    row = Row(HOSTILE, HOSTILE, RowResult.FAIL, judged=2, failures=1, detail=HOSTILE, invariants=(HOSTILE,))
    report = msgspec.structs.replace(
        REPORT,
        subject=HOSTILE,
        rows=(row,),
        reasons=(HOSTILE,),
        environment=dict.fromkeys(REPORT.environment, HOSTILE),
        stop=HOSTILE,
        decision=HOSTILE,
        phase_hits={HOSTILE: 3},
        records=HOSTILE,
        commands=(HOSTILE,),
    )
    text = rendered(report, width=4000)
    allowed = set("\n\t")
    assert {character for character in text if not character.isprintable()} <= allowed
    assert "[bold green]GO[/bold green] [/] [link=http://x]y[/link] \\x1b[2J\\x1b]0;title\\x07 \\x9b31m" in text
    assert "\\u202egnorw\\ud800" in text
    text.encode()
    # On a terminal, too, the only escape sequences are the table's own.
    shown = rendered(report, width=4000, force_terminal=True, _environ={"TERM": "xterm-256color"})
    assert "\x1b[2J" not in shown
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown


def test_a_long_list_of_reasons_is_cut_and_says_so():
    report = msgspec.structs.replace(REPORT, reasons=tuple(f"reason {n}" for n in range(30)))
    text = rendered(report)
    assert "reason 11" in text
    assert "reason 12" not in text
    assert "and 18 more" in text


def test_a_report_of_nothing():
    report = msgspec.structs.replace(
        REPORT, decision="INCONCLUSIVE", rows=(), reasons=(), phase_hits={}, environment={}, commands=(), records=""
    )
    assert " INCONCLUSIVE " in rendered(report)


def test_the_report_is_plain_data():
    data = msgspec.json.encode(REPORT)
    assert msgspec.json.decode(data, type=GateReport) == REPORT
    assert msgspec.json.decode(data)["format_version"] == 1
