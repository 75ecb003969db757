"""A campaign of schedules as a page: the lanes drawn, the same in words, and nothing of a program's text is markup."""

import pytest

from crashlab.engine.schedules.campaign import Found, Result
from crashlab.engine.schedules.explore import Counted
from crashlab.engine.schedules.generic import generic_script
from crashlab.engine.schedules.spans import Span
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.schedule import Schedule, Segment
from crashlab.report.schedules_page import schedules_html

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(autouse=True)
def _jinja2():
    pytest.importorskip("jinja2")


def result(*found):
    verdict = Verdict.FAIL if found else Verdict.PASS
    counted = Counted(schedules=1000, points=140_000, switches=5000, judged=1000, seconds=2.0)
    return Result(verdict, "app", f"3.40.1 {HOSTILE}", "threads", "bpr:3", 5, counted, found)


def failure(case_dir="cases/abc"):
    schedule = Schedule(generic_script("IC|I"), (Segment(0, 3), Segment(1, 4)), "3.40.1")
    finding = Finding(Identity("durability", "acked-row-lost", "app", "no fault"), f"1 row gone {HOSTILE}", {})
    spans = (Span(0, 3, "begins 0 (I)", HOSTILE), Span(1, 4, "begins 1"))
    return Found(
        934, 1.6, schedule, schedule, (finding,), 60, 50, 50, 50, f"the story\n{HOSTILE}", case_dir, spans=spans
    )


def test_a_failure_has_its_lanes_its_story_and_its_command():
    page = schedules_html(result(failure()), {"cases/abc": "crashlab replay cases/abc"})
    assert "<b>FAIL</b>" in page
    for text in (
        "durability/acked-row-lost",
        "in schedule 934",
        "reproduced 50/50",
        "crashlab replay cases/abc",
        "begins 0 (I)",
    ):
        assert text in page, text
    assert page.count("<svg") == 1
    assert page.count("<details>") == 2  # the drawing in words, and the story
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;") >= 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_without_a_failure_it_says_how_much_was_tried_and_the_bound():
    page = schedules_html(result(), {})
    assert "<b>PASS</b>" in page
    assert "0/1000" in page
    assert "upper bound" in page
    assert "1000 schedules in 2.0 s" in page
    assert "<svg" not in page
