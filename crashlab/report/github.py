"""A report for GitHub Actions: annotations on standard output, the Markdown in the job's summary.

Commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions . A step shows ten annotations
of a kind, and takes a summary of 1 MiB.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from crashlab.report.markdown import summary_markdown
from crashlab.report.plain import printable
from crashlab.report.summary.facts import Summary
from crashlab.report.tables import totals

__all__ = ["STEP_SUMMARY", "annotations", "append_step_summary"]

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
SUMMARY_BYTES_MAX = 1 << 20
ERRORS_MAX = 10
_MESSAGE_MAX = 4000


def annotations(summary: Summary) -> str:
    """Return the workflow commands: an error for each finding, and one line that says the answer."""
    return "".join(f"{line}\n" for line in _commands(summary))


def _commands(summary: Summary) -> Iterator[str]:
    answer = summary.answer
    bad = answer.word in ("NO-GO", "FAIL")
    for found in summary.findings[: ERRORS_MAX - 1]:
        witness = next(iter(found.witnesses), None)
        lines = [f"{found.often}: {found.message}"]
        lines += [each for each in (witness.replay, witness.reduce) if each] if witness is not None else []
        yield _command("error", f"crashlab: {found.identity}", "\n".join(lines))
    said = "\n".join((*answer.reasons, totals(summary.counts) if summary.gates else ""))
    kind = "error" if bad else "notice" if answer.word in ("GO", "PASS", "STUDY") else "warning"
    yield _command(kind, f"crashlab: {answer.word} {answer.claim}", said.strip())


def _command(kind: str, title: str, message: str) -> str:
    shown = printable(message[:_MESSAGE_MAX])
    return f"::{kind} title={_escaped(printable(title), whole=True)}::{_escaped(shown)}"


def _escaped(text: str, *, whole: bool = False) -> str:
    """As GitHub's own toolkit escapes the data and, `whole`, the properties of a command."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if whole else text


def append_step_summary(summary: Summary, environment: Mapping[str, str]) -> str:
    """Append the Markdown to the step's summary; return a remark for people, '' if all went well.

    The file is GitHub's own, made for being appended to. What would not fit its cap is shortened, table by table.
    """
    path = environment.get(STEP_SUMMARY, "")
    if not path:
        return f"{STEP_SUMMARY} is not set, so no summary was written; --format markdown=PATH writes it to a file"
    try:
        room = SUMMARY_BYTES_MAX - (os.path.getsize(path) if os.path.exists(path) else 0)
        for rows in (40, 15, 5, 0):
            data = summary_markdown(summary, rows).encode()
            if len(data) < room:
                with Path(path).open("ab") as file:
                    file.write(data)
                return ""
    except OSError as error:
        return f"the step summary {path} could not be written: {error.strerror}"
    return f"the step summary {path} has no room left (GitHub takes 1 MiB a step), so nothing was added"
