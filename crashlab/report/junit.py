"""A report as JUnit XML: what Jenkins, GitLab and pytest's readers take. One test case a row, cell or finding."""

import math
import re
from collections.abc import Iterator

import msgspec

from crashlab.decide.evidence import GateReport, Row, RowResult
from crashlab.report.plain import one_line, printable
from crashlab.report.summary.facts import Cell, Found, Summary
from crashlab.report.tables import environment_table, totals

__all__ = ["summary_junit"]

TEXT_MAX = 20_000
# What XML 1.0 cannot say even as a reference; control characters were written out before.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Case(msgspec.Struct, frozen=True):
    """One test case; `problem` is failure, error, skipped or ''."""

    classname: str
    name: str
    problem: str = ""
    message: str = ""
    text: str = ""


def summary_junit(summary: Summary) -> str:
    """Return the document: a suite a gate or run, with the environment as its properties.

    A NO-GO row, a cell with failures and each finding is a failure; what is too thin to judge an error, so that no
    reader takes it for a pass; what was not judged is skipped.
    """
    suites = [(f"crashlab gate {report.subject}", list(_gate(report)), report.seconds) for report in summary.gates]
    if not summary.gates:
        cases = [_cell(cell, summary.subject) for cell in summary.cells]
        suites.append((f"crashlab {summary.subject or 'run'}", cases or [_nothing(summary)], summary.seconds))
    if summary.findings:
        suites.append(("crashlab findings", [_finding(found) for found in summary.findings], 0.0))
    properties = [(what, value) for what, value in environment_table(summary).rows]
    properties += [("answer", summary.answer.word), ("trials", totals(summary.counts))]
    every = [case for _, cases, _ in suites for case in cases]
    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    total = sum(seconds for _, _, seconds in suites)
    lines.append(f'<testsuites name="crashlab" {_counted(every)} time="{_time(total)}">')
    for name, cases, seconds in suites:
        lines.append(f'  <testsuite name="{_attribute(name)}" {_counted(cases)} time="{_time(seconds)}">')
        lines.append("    <properties>")
        lines += [f'      <property name="{_attribute(n)}" value="{_attribute(v)}"/>' for n, v in properties]
        lines.append("    </properties>")
        for case in cases:
            lines += _case(case, seconds / len(cases))
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _gate(report: GateReport) -> Iterator[_Case]:
    for row in report.rows:
        yield _row(row, f"crashlab.{report.subject}.{row.group}")
    problem = {"GO": "", "NO-GO": "failure"}.get(report.decision, "error")
    said = "\n".join([*report.reasons, *report.commands])
    yield _Case(f"crashlab.{report.subject}", "decision", problem, report.decision if problem else "", said)


def _row(row: Row, classname: str) -> _Case:
    said = f"{row.judged} judged, {row.failures} failed, {row.missed} missed, {row.errors} errors. {row.detail}"
    if row.result is RowResult.FAIL:
        return _Case(classname, row.name, "failure", ", ".join(row.invariants) or row.detail, said)
    if row.result in (RowResult.MISSED, RowResult.INCONCLUSIVE):
        return _Case(classname, row.name, "error", row.detail or row.result.value, said)
    if row.result in (RowResult.NOT_JUDGED, RowResult.SKIPPED):
        return _Case(classname, row.name, "skipped", row.detail or row.result.value)
    return _Case(classname, row.name, text=said)


def _cell(cell: Cell, subject: str) -> _Case:
    params = " ".join(f"{name}={value}" for name, value in cell.params.items())
    name, said = f"{cell.fault} {params}".strip(), totals(cell.counts)
    classname = f"crashlab.{subject or 'run'}"
    if cell.counts.failures:
        return _Case(classname, name, "failure", said, said)
    if cell.counts.errors or not cell.counts.judged:
        return _Case(classname, name, "error", said, said)
    return _Case(classname, name, text=said)


def _finding(found: Found) -> _Case:
    lines = [found.often, found.message]
    for witness in found.witnesses:
        lines += ["", f"fault {witness.fault}  seed {witness.seed}", witness.fired, witness.replay, witness.reduce]
    return _Case("crashlab.findings", found.identity, "failure", found.message, "\n".join(lines))


def _nothing(summary: Summary) -> _Case:
    problem = "" if summary.answer.word in ("PASS", "GO", "STUDY") else "error"
    return _Case("crashlab", "decision", problem, "; ".join(summary.answer.reasons))


def _case(case: _Case, seconds: float) -> Iterator[str]:
    opened = f'    <testcase classname="{_attribute(case.classname)}" name="{_attribute(case.name)}"'
    opened += f' time="{_time(seconds)}"'
    text = _text(case.text)
    if case.problem == "skipped":
        yield f'{opened}><skipped message="{_attribute(case.message)}"/></testcase>'
    elif case.problem:
        kind = "crashlab.Failure" if case.problem == "failure" else "crashlab.Inconclusive"
        message = _attribute(case.message)
        yield f'{opened}><{case.problem} type="{kind}" message="{message}">{text}</{case.problem}></testcase>'
    elif text:
        yield f"{opened}><system-out>{text}</system-out></testcase>"
    else:
        yield f"{opened}/>"


def _counted(cases: list[_Case]) -> str:
    counts = {problem: sum(case.problem == problem for case in cases) for problem in ("failure", "error", "skipped")}
    return (
        f'tests="{len(cases)}" failures="{counts["failure"]}" errors="{counts["error"]}" skipped="{counts["skipped"]}"'
    )


def _time(seconds: float) -> str:
    return f"{seconds if math.isfinite(seconds) else 0.0:.3f}"


def _text(text: str) -> str:
    shown = _ILLEGAL.sub("�", printable(text.strip())[:TEXT_MAX])
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(text: str) -> str:
    return _text(one_line(text)).replace('"', "&quot;")
