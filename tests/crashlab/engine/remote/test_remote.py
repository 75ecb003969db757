"""Trials elsewhere: a lost worker is replaced, a strange one refused, a case directory comes back as it was."""

from concurrent.futures import Future

import msgspec
import pytest

from crashlab.engine.remote import pools
from crashlab.engine.remote.carry import CASE_BYTES_MAX, pack, unpack
from crashlab.engine.remote.order import CaseFile, TrialAnswer, TrialOrder, own_versions
from crashlab.engine.remote.pools import LOSSES_MAX, DaskPool, LostError, require_alike
from crashlab.engine.remote.road import RemoteRoad
from crashlab.engine.remote.worker import run_order
from crashlab.engine.subject import Subject
from crashlab.errors import LabError, UsageError
from crashlab.model.case import Case
from crashlab.model.finding import Finding, Identity, Verdict
from crashlab.model.history import Ended, EndKind
from crashlab.model.outcome import Outcome

CASE = Case("s", 1, "kill@ack#1")
HERE = own_versions("c0de")
IDENTITY = Identity("durability", "acked-row-lost", "s", "power loss")


def outcome(trial_id="t-1", case=CASE, **more):
    return Outcome(trial_id, case, Verdict.PASS, Ended(EndKind.SIGNALLED, 9), **more)


class Script:
    """A pool that answers what it is told to, one entry an order."""

    slots = 1

    def __init__(self, *answers):
        self.answers = list(answers)
        self.orders = []

    def submit(self, data):
        self.orders.append(msgspec.msgpack.decode(data, type=TrialOrder))
        return Future()

    def result(self, future):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else msgspec.msgpack.encode(answer)

    def close(self):
        pass


def ask(*answers, keep=None):
    pool = Script(*answers)
    road = RemoteRoad(Subject("s", "m:w"), pool, HERE, keep=keep)
    return road.run(CASE, "t-1"), pool


def test_a_lost_worker_is_replaced_and_a_deadly_trial_given_up():
    good = TrialAnswer("t-1", "there", outcome())
    found, pool = ask(LostError("gone"), good)
    assert (found, len(pool.orders), pool.orders[0] == pool.orders[1]) == (outcome(), 2, True)
    found, pool = ask(*[LostError("gone")] * 9)
    assert (found.verdict, len(pool.orders)) == (Verdict.ERROR, LOSSES_MAX)
    assert "workers were lost with this trial" in found.error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (TrialAnswer("t-1", "there", refused="SQLite 3.51.2, the lab has 3.40.1"), "there is refused: SQLite 3.51.2"),
        (TrialAnswer("t-2", "there", outcome()), "answered 't-2'"),
        (TrialAnswer("t-1", "there", outcome("t-9")), "the outcome of another"),
        (TrialAnswer("t-1", "there", outcome(case=Case("s", 2, "none"))), "the outcome of another"),
        (b"\xc1", "cannot be read"),
    ],
)
def test_a_strange_answer_ends_the_campaign_by_name(answer, said):
    with pytest.raises(LabError, match=said):
        ask(answer)


def test_a_worker_of_other_versions_refuses_before_it_runs_anything():
    other = msgspec.structs.replace(HERE, sqlite="3.99.0", python="CPython 3.9.1")
    order = TrialOrder(Subject("s", "nowhere:w"), CASE, "t-1", keep=False, versions=other)
    answer = msgspec.msgpack.decode(run_order(msgspec.msgpack.encode(order)), type=TrialAnswer)
    assert answer.outcome is None
    assert f"Python {HERE.python}, the lab has CPython 3.9.1" in answer.refused
    assert f"SQLite {HERE.sqlite}, the lab has 3.99.0" in answer.refused


def test_a_subject_that_a_worker_does_not_have_is_an_error_of_the_lab():
    found, _ = ask(TrialAnswer("t-1", "there", broke="no module named 'app'"))
    assert (found.verdict, found.error) == (Verdict.ERROR, "on there: no module named 'app'")


def test_workers_must_be_alike():
    require_alike(HERE, {"tcp://a": own_versions()})
    for worker, said in (
        (
            msgspec.structs.replace(HERE, crashlab="0.0.9+ab"),
            r"tcp://b has other versions: crashlab 0\.0\.9\+ab",
        ),
        (msgspec.structs.replace(HERE, sqlite="3.51.2"), "SQLite 3.51.2, the lab has"),
        ("ModuleNotFoundError: no crashlab", "worker tcp://b cannot run trials"),
    ):
        with pytest.raises(UsageError, match=said):
            require_alike(HERE, {"tcp://a": HERE, "tcp://b": worker})


def test_without_distributed_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(pools, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'crashlab\[cluster\]'"):
        DaskPool("tcp://127.0.0.1:1")


def test_case_directories_come_back_as_they_were(tmp_path):
    worker, lab = tmp_path / "worker", tmp_path / "lab"
    for name in ("c1", "c2"):
        (worker / name / "evidence").mkdir(parents=True)
        (worker / name / "case.json").write_bytes(name.encode())
        (worker / name / "evidence" / "state.db").write_bytes(bytes(range(256)))
    finding = Finding(IDENTITY, "gone", {"case_dir": str(worker / "c2"), "state": "kill@op=7"})
    sent, files = pack(outcome(case_dir=str(worker / "c1"), findings=(finding,)))
    assert list(worker.iterdir()) == []
    assert (sent.case_dir, sent.findings[0].evidence["case_dir"]) == ("c1", "c2")
    (lab / "c1").mkdir(parents=True)  # one of this name is there: neither is lost
    got = unpack(sent, files, lab)
    assert got.case_dir == str(lab / "c1-1")
    assert (lab / "c1-1" / "evidence" / "state.db").read_bytes() == bytes(range(256))
    assert got.findings[0].evidence == {"case_dir": str(lab / "c2"), "state": "kill@op=7"}
    assert unpack(sent, files, None).case_dir == ""


def test_a_case_too_large_stays_behind(tmp_path):
    (tmp_path / "c").mkdir()
    with open(tmp_path / "c" / "huge", "wb") as file:
        file.truncate(CASE_BYTES_MAX + 1)
    assert pack(outcome(case_dir=str(tmp_path / "c"))) == (outcome(), ())


@pytest.mark.parametrize("name", ["/etc/passwd", "../c/x", "c/../../x", "x", "c\\..\\x", "C:/x/y"])
def test_a_hostile_name_is_refused(tmp_path, name):
    with pytest.raises(LabError, match="none of a case directory"):
        unpack(outcome(case_dir="c"), (CaseFile(name, b"x"),), tmp_path / "lab")
    assert not (tmp_path / "lab").exists()
