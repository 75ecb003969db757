"""What `--live` said while a database was in use tells between mechanisms that leave the same files."""

import msgspec
import pytest

from crashlab.diagnosis.autopsy import Verdict, autopsy
from crashlab.diagnosis.live import procfs
from crashlab.errors import UsageError

pytestmark = pytest.mark.skipif(not procfs.available(), reason="looks through Linux's /proc")


def saved(run, step, path):
    path.write_bytes(msgspec.json.encode(run.looks[step][1]))
    return path


@pytest.mark.parametrize(
    ("name", "step", "first"),
    [
        ("a1-kill", 4, {"a1-kill", "a1-race", "a1-split"}),
        ("a2-replace", 2, {"a2-replace"}),
        pytest.param("a2-sidecars", 2, {"a2-sidecars", "a4-notadb"}, marks=pytest.mark.slow),
    ],
)
def test_a_look_at_the_living_splits_the_set_that_the_files_leave(played, tmp_path, name, step, first):
    run = played(name, 3)
    seen = saved(run, step, tmp_path / "seen.json")
    assert len(autopsy(run.main).first) > 20
    report = autopsy(run.main, seen=seen)
    assert {named.id for named in report.first} == first, report.signs
    assert report.verdict is Verdict.LOSSY
    assert any("while it was in use" in line for line in report.why)


def test_a_look_that_saw_nothing_wrong_rules_out_what_it_would_have_seen(played, tmp_path):
    run = played("a1-kill", 3)
    report = autopsy(run.main, seen=saved(run, 0, tmp_path / "seen.json"))
    assert report.verdict is Verdict.HEALTHY
    first = {named.id for named in report.first}
    assert {"none", "d1"} < first
    assert not {"a1-kill", "a2-replace", "b1-lost"} & first


def test_refusals(played, tmp_path):
    run = played("a1-kill", 3)
    bad = tmp_path / "seen.json"
    for text, says in (("{}", "no report of a look"), ('{"databases": [], "looks": 3}', "it is about no database")):
        bad.write_text(text)
        with pytest.raises(UsageError, match=says):
            autopsy(run.main, seen=bad)
    with pytest.raises(UsageError, match="No such file"):
        autopsy(run.main, seen=tmp_path / "none")
