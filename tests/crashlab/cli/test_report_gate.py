"""A gate's report, made again from its records alone: the same answer, and what the trace road covered is in it."""

import sys
import xml.etree.ElementTree as ET

import msgspec
import pytest

from crashlab.report.summary.facts import CALLS, STATES, TRIALS
from crashlab.report.summary.fold import summarise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="phases need writers that are forked"),
]


def test_a_gate_is_rebuilt_from_its_records(crashlab, project):
    answer = crashlab("gate", "--subject", "early", "--format", "junit=a.xml", "--format", "markdown=a.md", "--seed", 3)
    assert answer.code == 1
    (run,) = project.runs()
    summary = summarise([str(run)])
    report = msgspec.json.decode((run / "report.json").read_bytes())
    assert summary.answer.word == report["decision"] == "NO-GO"
    assert summary.answer.reasons == tuple(report["reasons"])
    assert summary.counts.trials >= report["trials"] > 0
    assert summary.states >= report["states"] > 0
    assert {covered.fault_class for covered in summary.covered} == {"process death", "power loss"}
    for covered in summary.covered:
        for coverage, reach in zip(covered.coverage, covered.reach, strict=True):
            assert sum(reach.states) == coverage["generated"]
            assert sum(reach.writes_main) + sum(reach.writes_wal) > 0
            assert len(reach.states) == len(reach.syncs) <= 101
    counted = {what for found in summary.findings for what in found.counts}
    assert counted >= {TRIALS, STATES} or counted >= {CALLS}
    told = [witness.story for found in summary.findings for witness in found.witnesses if witness.story is not None]
    assert any(step.back == "gone" for story in told for step in story.steps)
    assert any(story.wal is not None for story in told)
    computed = next(w for f in summary.findings for w in f.witnesses if w.reduce)
    assert computed.story.operations
    again = crashlab("report", run, "--format", "junit=b.xml", "--format", "markdown=b.md")
    assert again.code == 0
    for name in ("a.xml", "a.md"):
        assert (project.directory / name).read_bytes() == (project.directory / name.replace("a.", "b.")).read_bytes()
    assert ET.parse(project.directory / "a.xml").getroot().attrib["failures"] != "0"
