"""The texts that `crashlab init` writes. They work as they are, and are meant to be edited."""

import json

from crashlab.cli.project import Project

__all__ = ["MODULE", "files_for"]

MODULE = "crashlab_workload"

_TOML = """\
# What crashlab judges in this project, and by which measure. `crashlab doctor` says what this machine can do.

# Directories for imports, relative to this file. Writers and judges look there first.
path = {path}

# Where records and failing cases go.
results = "{results}"

# A subject: a program under test. `crashlab run --subject NAME`, `crashlab gate --subject NAME`.
# `workload` is module:attr. It says how the program is opened, what it does step by step, what each step leaves in the
# database, and in `contract` what must survive which fault.
[subjects.{subject}]
workload = "{workload}"
{params}{study}
# `crashlab gate`: may this program go live?
[gate]
subject = "{subject}"
trials = 1400
budget = "120s"
{grid}
# What turns the evidence into GO, NO-GO or INCONCLUSIVE.
[gate.policy]
advisories = "warn"    # a known defect of this SQLite version: "warn" shows it, "no-go" decides
file_system = "warn"   # the same for a file system on which SQLite's promises may not hold
trials_min = 1000      # fewer judged trials are INCONCLUSIVE
phase_hits_min = 30    # so are fewer kills inside a phase (commit, checkpoint, close, ...)
"""

_PARAMS = """\
# Values for parameters that the workload declares; what is left out keeps the workload's own default.
params = { notes = 40 }
"""

_STUDY = """
# `crashlab cadence`: what is at risk outside the main file, at which checkpoint cadence?
[subjects.{subject}.study]
steps = "notes"   # the parameter that says how much the program does
tick_s = 1.0      # seconds from write to write
writes = 500
"""

_GRID = """
# Each trial of the gate draws one value of each parameter.
[gate.grid]
checkpoint_every = [0, 10]

# Without checkpoints of its own there is none to be killed in.
[gate.unreachable]
checkpoint = { checkpoint_every = 0 }
"""

_WORKLOAD = '''\
"""What crashlab knows about the program under test. Replace `Notes` by your own program."""

import sqlite3

from crashlab import Context, Contract, Effect, Lane, Step, Table


class Notes:
    """The program: notes in a SQLite file. All that the lab asks of it is a `connect` that can be handed in."""

    def __init__(self, path, *, connect=sqlite3.connect, commit_every=1, checkpoint_every=0):
        self.db = connect(path)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS note(number INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        self.commit_every, self.checkpoint_every = commit_every, checkpoint_every

    def put(self, number, body):
        """Store a note. When this returns, the caller believes that it is stored."""
        self.db.execute("INSERT INTO note VALUES(?, ?)", (number, body))
        if (number + 1) % self.commit_every == 0:
            try:
                self.db.commit()
            except sqlite3.Error:
                self.db.rollback()
                raise
        if self.checkpoint_every and (number + 1) % self.checkpoint_every == 0:
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self):
        """Commit what is open, and close."""
        self.db.commit()
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.db.close()


class Workload:
    """How the program is opened, what it does step by step, and what each step leaves in the database."""

    contract = Contract()  # what SQLite promises: a process death takes nothing that was acked
    tables = (Table("note", key=("number",), value=("body",)),)
    checks = ()  # what must hold beyond single rows: Check("name", function)
    params = {"notes": 40, "commit_every": 1, "checkpoint_every": 0}

    def open(self, ctx: Context) -> Notes:
        every, checkpoint = int(ctx.params["commit_every"]), int(ctx.params["checkpoint_every"])
        return Notes(ctx.database, connect=ctx.connect, commit_every=every, checkpoint_every=checkpoint)

    restart = open  # after a crash the program starts as it always does

    def lanes(self, ctx):
        return (Lane("main"),)  # one writer; more lanes run at once

    def steps(self, lane, notes, ctx):
        """Yield what is done. A step is acked when its function returns, and then its effects must survive."""
        for number in range(int(ctx.params["notes"])):
            body = f"note {number}, {ctx.rng.randrange(10**6)}"
            yield Step(number, (Effect("note", (number,), (body,)),), lambda n=number, b=body: notes.put(n, b))


workload = Workload()
'''

_TEST_OWN = '''\
"""Written by `crashlab init`: kill {subject} for real, and look at what it left."""

import pytest


@pytest.mark.parametrize("fault", ["kill@ack#7", "kill@phase=commit#3 delay=40us"])
def test_a_kill_takes_nothing_that_was_acked(crashlab, fault):
    crashlab.run("{subject}", fault=fault, trials=20).assert_passed()
'''

_TEST_PLANTED = '''

def test_the_lab_would_see_it(crashlab):
    """A planted bug: acks come before their commit. A lab that is always green shows nothing."""
    trials = crashlab.run("{subject}", fault="kill@ack#7", trials=10, params={{"commit_every": 5}})
    assert "durability/acked-row-lost" in trials.invariants
'''


def files_for(project: Project, workload: str = "") -> dict[str, str]:
    """Return text by path, relative to the project's root. `workload`: `module:attr` of one that is there already."""
    within = "" if project.tests == "." else f"{project.tests}/"
    path = list(dict.fromkeys((project.tests, project.sources)))
    toml = _TOML.format(
        path=json.dumps(path),
        results=project.results,
        subject=project.subject,
        workload=workload or f"{MODULE}:workload",
        params="" if workload else _PARAMS,
        study="" if workload else _STUDY.format(subject=project.subject),
        grid="" if workload else _GRID,
    )
    test = (_TEST_OWN if workload else _TEST_OWN + _TEST_PLANTED).format(subject=project.subject)
    files = {"crashlab.toml": toml}
    if not workload:
        files[f"{within}{MODULE}.py"] = _WORKLOAD
    return files | {f"{within}test_crashlab.py": test}
