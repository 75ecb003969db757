from pathlib import Path

import pytest

from crashlab.errors import UsageError
from crashlab.faults.fault import PARSERS, parse_fault
from crashlab.faults.kill import PHASES

GOLDEN = Path(__file__).parents[2] / "golden" / "faults.txt"
LINES = [
    tuple(line.split(" => "))
    for line in GOLDEN.read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("text", "canonical"), LINES)
def test_a_text_prints_canonically_and_comes_back_equal(text, canonical):
    fault = parse_fault(text)
    assert str(fault) == canonical
    again = parse_fault(canonical)
    assert again == fault
    assert hash(again) == hash(fault)
    assert str(again) == canonical


def test_the_golden_texts_cover_every_kind_and_every_phase():
    texts = "\n".join(canonical for _, canonical in LINES)
    assert {canonical.partition("@")[0] for _, canonical in LINES} == set(PARSERS)
    assert all(f"phase={phase}" in texts for phase in PHASES)


def test_different_faults_print_differently():
    canonical = {canonical for _, canonical in LINES}
    assert len({parse_fault(text) for text in canonical}) == len(canonical)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected kind@selector"),
        ("states@tron", "did you mean 'torn'"),
        ("states@torn#0", "expected 1 to"),
        ("states@torn#5+2", "needs a write to tear"),
        ("states@torn recovery=101", "a whole number 0 to 100"),
        ("states@torn recover=1", "did you mean 'recovery'"),
        ("kill@", "expected kind@selector"),
        ("kill @ack", "expected kind@selector"),
        ("kill@ack#17  delay=1us", "expected kind@selector"),
        ("kill@ack#17\tdelay=1us", "expected kind@selector"),
        ("kill@ack#-1", "expected kind@selector"),
        ("kill@ack#1.5", "expected kind@selector"),
        ("kill@ack#1234567890", "expected kind@selector"),
        ("kill@ack#1\nnone", "expected kind@selector"),
        ("k" * 301, "expected kind@selector"),
        ("kil@ack#1", "did you mean 'kill'?"),
        ("hangups@ack#1", "did you mean 'hangup'?"),
        ("Kill@ack#1", "expected kind@selector"),
        ("power@ack", "unknown fault 'power'"),
        ("none@ack", "'none' has no selector"),
        ("none delay=1ms", "none has no option 'delay'"),
        ("kill", "unknown selector ''"),
        ("kill@akc#1", "did you mean 'ack'?"),
        ("kill@begin#1", "unknown selector 'begin'"),
        ("kill@ack#0", "#0, expected #1 or more"),
        ("kill@start#2", "'start' takes no #n"),
        ("kill@phase=comit#1", "did you mean 'commit'?"),
        ("kill@phase=between", "unknown phase 'between'"),
        ("kill@phase", "unknown phase ''; known: start-up"),
        ("kill@ack#5+100", "'+bytes' needs a write to tear"),
        ("kill@ack delya=1ms", "did you mean 'delay'?"),
        ("kill@ack delay=1ms delay=2ms", "given twice"),
        ("kill@ack delay=5", "expected a duration such as 300us"),
        ("kill@ack delay=5m", "expected a duration such as 300us"),
        ("kill@ack delay=-5ms", "expected a duration such as 300us"),
        ("kill@ack delay=601s", "at most 600s"),
        ("kill@ack on=handle", "kill has no option 'on'"),
        ("hangup@ack on=handel", "did you mean 'handle'?"),
        ("hangup@ack grace=61s", "at most 60s"),
        ("damage@man", "did you mean 'main'?"),
        ("damage", "unknown file ''"),
        ("damage@wal.page#1", "wal has no 'page'"),
        ("damage@main.frame#1", "main has no 'frame'"),
        ("damage@shm.page#1", "shm has no 'page'"),
        ("damage@main.page#0", "#0, expected #1 or more"),
        ("damage@wal#3", "#3 of what?"),
        ("damage@main bit=8", "expected a whole number 0 to 7"),
        ("damage@main bit=x", "expected a whole number 0 to 7"),
        ("damage@main op=erase", "op=erase is none of flip, truncate, delete"),
        ("damage@main op=flop", "did you mean 'flip'?"),
        ("damage@main after=akc#1", "did you mean 'ack'?"),
        ("damage@main after=ack#0", "expected #1 or more"),
    ],
)
def test_a_bad_text_is_refused_in_one_line_that_says_what_is_wrong(text, says):
    with pytest.raises(UsageError) as caught:
        parse_fault(text)
    message = str(caught.value)
    assert says in message
    assert len(message.splitlines()) == 1
    assert len(message) < 500
