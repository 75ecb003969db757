"""`crashlab run --fault kill -- COMMAND`: real kills of any program."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import msgspec

from crashlab.cli.options import Output, console_for_people, open_config
from crashlab.cli.report_formats import tell_reports
from crashlab.decide.gate import PARTIAL
from crashlab.decide.statistics import format_rate, upper_bound
from crashlab.diagnosis.autopsy.listener import TEXT as AUTOPSY
from crashlab.diagnosis.autopsy.listener import CaseAutopsies
from crashlab.engine.campaign import Limits, StopReason, Tally, run_campaign
from crashlab.engine.environment import environment_stamp
from crashlab.engine.events import Emitter
from crashlab.engine.program.kills.learn import Learned
from crashlab.engine.program.kills.moments import ACK, Hit, draw_moments
from crashlab.engine.program.kills.orders import Look
from crashlab.engine.program.kills.road import KillRoad
from crashlab.engine.program.private_copy import PrivateCopy
from crashlab.engine.rundir import drop_run_directory, make_run_directory
from crashlab.engine.workspace import Workspace
from crashlab.errors import UsageError
from crashlab.model.case import Case
from crashlab.model.event import EventKind
from crashlab.model.finding import Finding, Verdict
from crashlab.model.outcome import Outcome
from crashlab.model.program import Program
from crashlab.model.seed import subseed
from crashlab.report.ndjson import RECORDS, NdjsonWriter, open_records
from crashlab.report.plain import one_line, printable
from crashlab.report.progress import ProgressListener
from crashlab.writers.tree.run import TIME_LIMIT

RECORD = "kills.json"
TIMEOUT_S_MAX = 600.0
TRIALS = 100


class KillsOptions(msgspec.Struct, frozen=True):
    """What the command line said. `words`: the command, and `restart` and `maps` the options, as they were typed."""

    program: Program
    hits: tuple[Hit, ...]
    trials: int
    seed: int
    seconds: float
    jobs: int
    copy_max: int
    workspace: str | None
    results: Path | None
    words: tuple[str, ...]
    restart: str
    maps: tuple[str, ...]


class _Result(msgspec.Struct):
    learned: Learned
    tally: Tally
    looks: list[tuple[Look, ...]]
    restarts: int
    environment: dict[str, str]

    @property
    def judged(self) -> int:
        return self.tally.count(Verdict.PASS) + self.tally.count(Verdict.FAIL)

    def code(self, options: KillsOptions) -> int:
        if self.tally.count(Verdict.FAIL):
            return 1
        unasked = bool(options.program.ack_on) and not self.acks_judged
        sound = self.judged and not self.tally.count(Verdict.ERROR) and self.tally.stop is not StopReason.DISK_FULL
        return 0 if sound and not unasked else 3

    @property
    def acks_judged(self) -> bool:
        return self.learned.reference is not None and bool(self.learned.reference.acks.kind)


def kills_fit(options: KillsOptions) -> None:
    """Refuse what does not go together.

    Raises:
        UsageError: it does not.
    """
    if any(hit.after == ACK for hit in options.hits) and not options.program.ack_on:
        raise UsageError("a fault @ack needs --ack-on, which says what lines of output are acks")
    if options.program.timeout_s > TIMEOUT_S_MAX:
        raise UsageError(f"--timeout {options.program.timeout_s:g}: real kills take at most {TIMEOUT_S_MAX:g} s a run")


def run_kills(options: KillsOptions, output: Output) -> int:
    """Learn, kill, judge, report; return the exit code."""
    kills_fit(options)
    records = make_run_directory(options.results or open_config(None).results_directory, "kills")
    kept = interrupted = False
    try:
        with open_records(records) as stream:
            emitter = Emitter(NdjsonWriter(stream))
            if output.stdout == "ndjson":
                emitter.add(NdjsonWriter(sys.stdout.buffer))
            result, interrupted = _run(options, records, emitter)
        kept = True
        code = result.code(options)
        data = msgspec.json.format(msgspec.json.encode(_data(result, options, code))) + b"\n"
        (records / RECORD).write_bytes(data)
    except BaseException:
        if not kept:
            drop_run_directory(records, RECORDS)
        raise
    text = "\n".join(printable(line) for line in _lines(result, options, code, records))
    click.echo(text, err=not output.for_people)
    if output.stdout == "json":
        click.echo(data.decode(), nl=False)
    made = {"text": f"{text}\n".encode(), "json": data, "ndjson": (records / RECORDS).read_bytes()}
    tell_reports(output, [records], made.__getitem__)
    if interrupted:
        raise KeyboardInterrupt
    return code


def _run(options: KillsOptions, records: Path, emitter: Emitter) -> tuple[_Result, bool]:
    interrupted = False
    tally = Tally()
    with (
        Workspace(options.workspace) as space,
        ThreadPoolExecutor(options.jobs) as executor,
        ProgressListener(console_for_people(stderr=True), options.trials, "kills") as progress,
    ):
        emitter.add(progress)
        emitter.add(CaseAutopsies())
        area = space.make_run()
        copy = PrivateCopy(Path.cwd(), area, options.program.maps, bytes_max=options.copy_max)
        stamp = environment_stamp(space.root)
        road = KillRoad(options.program, copy, area, keep=records / "cases", environment=stamp)
        try:
            learned = road.learn()
            if learned.reference is not None:
                emitter.emit(
                    EventKind.RUN_STARTED,
                    command="kills",
                    subject=options.program.name,
                    seed=options.seed,
                    faults=[str(hit) for hit in options.hits],
                    trials=options.trials,
                    environment=stamp,
                )
                limits = Limits(seconds=options.seconds, slots=options.jobs)
                run_campaign(
                    road,
                    _cases(options, learned),
                    executor,
                    limits,
                    emitter,
                    name="kill",
                    check_room=space.check_room,
                    tally=tally,
                )
        except KeyboardInterrupt:
            if road.learned is None:
                raise
            interrupted = True
        finally:
            road.close()
        return _Result(learned, tally, road.looks, road.restarts, stamp), interrupted


def _cases(options: KillsOptions, learned: Learned) -> Iterator[Case]:
    """Each fault in turn."""
    shares = [len(range(number, options.trials, len(options.hits))) for number in range(len(options.hits))]
    moments = [
        draw_moments(hit, share, learned.timing, options.seed) if hit.delay_us < 0 else [hit] * share
        for hit, share in zip(options.hits, shares, strict=True)
    ]
    for number in range(options.trials):
        hit = moments[number % len(moments)][number // len(moments)]
        yield Case(options.program.name, subseed(options.seed, "kill", number), str(hit))


def replay_words(options: KillsOptions, case_dir: str, finding: Finding) -> str:
    """Return the command that replays a case, ready to paste."""
    words = ["crashlab", "replay", case_dir]
    if options.restart and finding.identity.oracle == "restart":
        words += ["--restart", options.restart]
    for each in options.maps:
        words += ["--map", each]
    return shlex.join([*words, "--", *options.words])


def _examples(result: _Result) -> Iterator[tuple[Finding, Outcome, int]]:
    """Each identity once, with a trial that shows it, one that was kept if there is one."""
    for identity, count in sorted(result.tally.identities.items()):
        shown = [o for o in result.tally.outcomes if any(f.identity == identity for f in o.findings)]
        first = [o for o in shown if o.findings[0].identity == identity and o.case_dir]
        example = next(iter([*first, *(o for o in shown if o.case_dir), *shown]))
        yield next(f for f in example.findings if f.identity == identity), example, count


def _data(result: _Result, options: KillsOptions, code: int) -> dict[str, Any]:
    tally, learned = result.tally, result.learned
    failures = tally.count(Verdict.FAIL)
    empty = learned.reference is None or not (result.judged or tally.count(Verdict.ERROR))
    return {
        "format_version": 1,
        "verdict": "MISSED" if empty else {0: "PASS", 1: "FAIL", 3: "INCONCLUSIVE"}[code],
        "why": learned.missed,
        "fault_class": "process death",
        "faults": [str(hit) for hit in options.hits],
        "trials": len(tally.outcomes),
        "judged": result.judged,
        "failures": failures,
        "upper_bound_95": upper_bound(failures, result.judged),
        "verdicts": {verdict.value: count for verdict, count in tally.verdicts.items()},
        "restarts": result.restarts,
        "stop": tally.stop.value,
        "seconds": tally.seconds,
        "unkilled": msgspec.to_builtins(learned.timing),
        "notes": list(learned.notes),
        "ack_rule": "" if learned.reference is None else learned.reference.acks.kind,
        "findings": [
            {
                "identity": str(finding.identity),
                "message": finding.message,
                "fault": example.case.fault,
                "trials": count,
                "case": example.case_dir,
            }
            for finding, example, count in _examples(result)
        ],
        "environment": result.environment,
    }


def _lines(result: _Result, options: KillsOptions, code: int, records: Path) -> list[str]:
    tally, learned = result.tally, result.learned
    lines = []
    if learned.reference is None:
        lines.append(f"MISSED: {learned.missed}")
    else:
        failures = tally.count(Verdict.FAIL)
        head = {0: "PASS", 1: "FAIL", 3: "INCONCLUSIVE" if result.judged else "MISSED"}[code]
        rate = f"{format_rate(failures, result.judged)} of the judged kills failed"
        partial = "partial results: " if tally.stop in PARTIAL else ""
        lines.append(f"{partial}{head}: {rate if result.judged else 'no kill hit the program while it had a database'}")
        lines.append("fault class: process death; a kill is not a power loss")
        lines += _counts(tally, options)
        lines += [f"{line}" for line in _databases(result)]
        lines += _rules(result, options)
    lines += [f"note: {one_line(note)}" for note in learned.notes]
    for finding, example, count in _examples(result):
        lines += [
            f"FAIL {finding.identity} in {count} runs",
            f"  fault      {example.case.fault}: {example.fired}",
            f"  seen       {one_line(finding.message)}",
        ]
        if example.case_dir:
            if (told := Path(example.case_dir) / AUTOPSY).exists():
                lines.append(f"  autopsy    {told}")
            lines.append(f"  replay     {replay_words(options, example.case_dir, finding)}")
            lines.append("  reduce     nothing to reduce in a real kill; crashlab run -- COMMAND computes small ones")
    stamp = result.environment
    lines.append(
        f"environment: {stamp['os']}, {stamp['python']}, SQLite {stamp['sqlite']} judging; the runs on "
        f"{stamp['file_system']}"
    )
    lines.append(f"records: {records}")
    return lines


def _counts(tally: Tally, options: KillsOptions) -> list[str]:
    fired = len(tally.outcomes) - tally.count(Verdict.MISSED) - tally.count(Verdict.ERROR)
    line = f"{len(tally.outcomes)} runs in {tally.seconds:.0f} s: {fired} hit while running"
    if tally.count(Verdict.INCONCLUSIVE):
        line += f", {tally.count(Verdict.INCONCLUSIVE)} of them before there was a database (not judged)"
    if tally.count(Verdict.MISSED):
        line += f"; {tally.count(Verdict.MISSED)} MISSED: {_why_missed(tally)}"
    lines = [line]
    if tally.stop is not StopReason.DONE or len(tally.outcomes) < options.trials:
        lines.append(f"stopped after {len(tally.outcomes)} of {options.trials} runs: {tally.stop.value}")
    error = next((each.error for each in tally.outcomes if each.verdict is Verdict.ERROR), "")
    if error:
        lines.append(f"{tally.count(Verdict.ERROR)} ERROR: {one_line(error)}")
    return lines


def _why_missed(tally: Tally) -> str:
    late = any(o.fired.startswith(TIME_LIMIT) for o in tally.outcomes if o.verdict is Verdict.MISSED)
    return "it had ended, or its time was up, before the moment came" if late else "the program had ended"


def _databases(result: _Result) -> Iterator[str]:
    reference = result.learned.reference
    ends = {} if reference is None else reference.survey.rows_end
    names = sorted({look.database for looks in result.looks for look in looks})
    for name in names:
        looks = [look for looks in result.looks for look in looks if look.database == name]
        sound = sum(not look.problem for look in looks)
        rows = [look.rows for look in looks if not look.problem] or [0]
        check = "quick_check" if reference and reference.survey.check.get(name) == "quick_check" else "integrity_check"
        schema = ", ".join(f"{what} {count}" for what, count in sorted(Counter(each.schema for each in looks).items()))
        frames = max(each.frames for each in looks)
        yield (
            f"{name}: well-formed {sound} of {len(looks)} times ({check}); {min(rows)} to {max(rows)} rows, "
            f"{sum(ends.get(name, {}).values())} without a kill"
            + (f"; up to {frames} committed frames in the WAL alone" if frames else "")
        )
        yield f"  schema (told, not judged): {schema}"
        strange = next((look.strange for look in looks if look.strange), ())
        if strange:
            yield f"  of neither: {one_line(', '.join(strange[:3]))}"


def _rules(result: _Result, options: KillsOptions) -> Iterator[str]:
    reference = result.learned.reference
    if reference is None:
        return
    rule, places = reference.acks, " or ".join(str(place) for place in reference.acks.places[:3])
    acks = sum(o.acked for o in result.tally.outcomes if o.verdict in (Verdict.PASS, Verdict.FAIL))
    if rule.kind:
        how = {
            "value": f"each looked for in {places}",
            "high": f"the last compared with the largest number in {places}",
            "count": f"their number compared with that of new rows of {places}",
        }[rule.kind]
        yield f"{acks} acks were out before a kill: {one_line(how)}"
    elif options.program.ack_on:
        yield "the acks were not judged: without a kill no column holds what they caught, and no table a row for each"
    for place in reference.files[:5]:
        yield f"files named in {one_line(str(place))} were looked for"
    if options.program.restart:
        yield f"restarted after {result.restarts} kills"
    yield "not judged: whether the rows are what the program meant; crashlab run -- COMMAND knows its history"


def kills_options(
    hits: tuple[Hit, ...], program: Program, command: tuple[str, ...], restart: str, maps: tuple[str, ...], **more: Any
) -> KillsOptions:
    """Put together what the command line said; `more`: trials, seed, seconds, jobs, copy_max, workspace, results."""
    return KillsOptions(
        program,
        hits,
        trials=more["trials"] or TRIALS,
        seed=more["seed"],
        seconds=more["seconds"] or 3600.0,
        jobs=more["jobs"] or (os.cpu_count() or 2),
        copy_max=more["copy_max"] << 20,
        workspace=more["workspace"],
        results=more["results"],
        words=command,
        restart=restart,
        maps=maps,
    )


__all__ = ["KillsOptions", "kills_fit", "kills_options", "run_kills"]
