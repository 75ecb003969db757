"""When to hit a program: moments drawn from the seed, one in each equal part of the time in which it works.

`kill` alone draws; `kill@start delay=12ms`, `kill@open delay=2ms` and `kill@ack#17 delay=300us` name the moment.
`term`, `hup` and `int` send that signal to every process, and SIGKILL after the grace.
"""

import signal

import msgspec

from crashlab.errors import UsageError, did_you_mean
from crashlab.faults.text import format_duration, split_fault
from crashlab.model.seed import rng_for

__all__ = ["SIGNALS", "Hit", "Timing", "draw_moments", "parse_hit"]

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "hup": signal.SIGHUP, "int": signal.SIGINT} if hasattr(
    signal, "SIGKILL"
) else {}  # fmt: skip
START, OPEN, ACK = "start", "open", "ack"
GRACE_MS = 2_000
DELAY_S_MAX = 600


class Timing(msgspec.Struct, frozen=True):
    """When a program that nobody killed had its first database open (-1: not seen), and when it had ended.

    `acks`: how many; `ack_gap_us`: time from one to the next, on the average.
    """

    opened_us: int
    end_us: int
    acks: int = 0
    ack_gap_us: int = 0


class Hit(msgspec.Struct, frozen=True):
    """A signal and its moment: `delay_us` after the start, after a database is seen open, or after ack number `acks`.

    `delay_us` -1: to be drawn.
    """

    kind: str
    after: str = START
    acks: int = 0
    delay_us: int = -1
    grace_ms: int = GRACE_MS

    def __str__(self) -> str:
        grace = f" grace={format_duration(self.grace_ms * 1000)}" if self.grace_ms != GRACE_MS else ""
        if self.delay_us < 0:
            return self.kind + grace
        where = f"{ACK}#{self.acks}" if self.after == ACK else self.after
        return f"{self.kind}@{where} delay={format_duration(self.delay_us)}{grace}"


def parse_hit(text: str) -> Hit:
    """Read one of `kill`, `term`, `hup`, `int`, with or without a moment.

    Raises:
        UsageError: it is none of them.
    """
    parts = split_fault(text)
    if parts.kind not in SIGNALS:
        raise UsageError(
            f"--fault {text!r} beside a COMMAND: expected one of {', '.join(SIGNALS)}, such as kill or "
            f"'kill@ack#17 delay=300us'{did_you_mean(parts.kind, SIGNALS)}"
        )
    parts.allow("delay", *(() if parts.kind == "kill" else ("grace",)))
    grace = parts.microseconds("grace", GRACE_MS * 1000, most_s=60) // 1000
    if not parts.selector:
        if parts.n is not None or "delay" in parts.options:
            raise UsageError(f"--fault {text!r}: a delay from what? write {parts.kind}@start or {parts.kind}@ack#1")
        return Hit(parts.kind, grace_ms=grace)
    numbered = parts.selector == ACK
    if parts.selector not in (START, OPEN, ACK) or parts.offset is not None or numbered != bool(parts.n):
        known = ", ".join(f"{parts.kind}@{each}" for each in (START, OPEN, f"{ACK}#N"))
        raise UsageError(f"--fault {text!r} beside a COMMAND: expected one of {known}")
    return Hit(parts.kind, parts.selector, parts.n or 0, parts.microseconds("delay", 0, most_s=DELAY_S_MAX), grace)


def draw_moments(hit: Hit, trials: int, timing: Timing, seed: int) -> list[Hit]:
    """Return `trials` hits, one in each of as many equal parts of the program's working time, in shuffled order.

    Every fourth counts from the start, so that the making of the database is met; the others from what the program
    itself shows, because a start takes now longer, now shorter. Every fourth comes right after an ack, if there
    are any.
    """
    opened_us = timing.opened_us if timing.opened_us >= 0 else timing.end_us // 2  # too short to be seen: late
    hits = []
    for part in range(trials):
        at = (part + rng_for(seed, "kills", hit.kind, trials, part).random()) / trials
        if part % 4 == 0:
            begin = opened_us * 4 // 5
            moment = (START, 0, int(begin + at * (timing.end_us - begin)))
        elif timing.acks and part % 4 > 1:
            number, rest = divmod(at * timing.acks, 1.0)
            moment = (ACK, int(number) + 1, int(rest * timing.ack_gap_us) if part % 4 == 2 else 0)
        else:
            moment = (OPEN, 0, int(at * (timing.end_us - opened_us)))
        after, acks, delay_us = moment
        hits.append(msgspec.structs.replace(hit, after=after, acks=acks, delay_us=min(delay_us, DELAY_S_MAX * 10**6)))
    rng_for(seed, "kills", hit.kind, "order").shuffle(hits)
    return hits
