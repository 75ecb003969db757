"""The filter itself, run by a small interpreter of the kernel's instructions, for each machine; the call numbers."""

import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from crashlab.writers.record.seccomp.numbers import MACHINES
from crashlab.writers.record.seccomp.program import filter_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

ALLOW, NOTIFY, ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
READ = {"x86_64": 0, "aarch64": 63}
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


def decide(machine, number, *args, audit=None):
    """Run the filter on one call."""
    data = struct.pack("<iIQ6Q", number, audit or machine.audit, 0, *args, *[0] * (6 - len(args)))
    code = [
        struct.unpack_from("<HBBI", filter_program(machine), at) for at in range(0, len(filter_program(machine)), 8)
    ]
    at, value = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x06:
            return operand
        else:
            true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += yes if true else no


@pytest.mark.parametrize("name", MACHINES)
def test_what_stops_and_what_goes_on(name):
    machine = MACHINES[name]
    numbers = machine.numbers
    assert decide(machine, READ[name]) == ALLOW
    for stopping in ("write", "pwrite64", "fsync", "renameat2", "unlinkat", "io_uring_setup", "exit_group"):
        assert decide(machine, numbers[stopping]) == NOTIFY
    assert decide(machine, numbers["openat"], 0, 0, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
        assert decide(machine, numbers["openat"], 0, 0, flags) == NOTIFY
    private, shared, validated, anonymous = 2, 1, 3, 0x20
    assert decide(machine, numbers["mmap"], 0, 0, 3, private) == ALLOW
    assert decide(machine, numbers["mmap"], 0, 0, 3, shared | anonymous) == ALLOW
    assert decide(machine, numbers["mmap"], 0, 0, 3, shared) == NOTIFY
    assert decide(machine, numbers["mmap"], 0, 0, 3, validated) == NOTIFY
    assert decide(machine, numbers["mprotect"], 0, 0, 1) == ALLOW
    assert decide(machine, numbers["mprotect"], 0, 0, 3) == NOTIFY
    assert decide(machine, numbers["clone3"]) == ERRNO | errno.ENOSYS
    assert decide(machine, numbers["clone"], 0x00000100) == ALLOW
    assert decide(machine, numbers["clone"], 0x00020000) == NOTIFY
    assert decide(machine, numbers["ioctl"], 0, 0x40049409) == ERRNO | errno.EOPNOTSUPP
    assert decide(machine, numbers["ioctl"], 0, 0x5401) == ALLOW
    assert decide(machine, READ[name], audit=0x40000003) == NOTIFY


def test_the_x32_set_of_calls_does_not_exist():
    machine = MACHINES["x86_64"]
    assert decide(machine, 0x40000000 | machine.numbers["write"]) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("name", MACHINES)
def test_every_call_that_stops_has_a_handler(name, tmp_path):
    # Not at the head: on some systems these cannot even be loaded.
    from crashlab.log.writer import LogWriter
    from crashlab.writers.record.seccomp.answers import Answers
    from crashlab.writers.record.seccomp.files import Files
    from crashlab.writers.record.seccomp.guard import Guard
    from crashlab.writers.record.seccomp.kernel import Listener, Memory
    from crashlab.writers.record.seccomp.quick import Quick
    from crashlab.writers.record.seccomp.tasks import Tasks

    log = LogWriter(str(tmp_path / "log.0"))
    try:
        files, tasks = Files(log, str(tmp_path)), Tasks(Memory(1 << 20))
        handled = Answers(MACHINES[name], files, tasks, Guard(()), Quick(Listener(-1), files, tasks)).by_number
    finally:
        log.close()
    answered_by_the_filter = {"ioctl", "clone3"}
    assert {call for call, _ in handled.values()} == set(MACHINES[name].numbers) - answered_by_the_filter


@pytest.mark.parametrize("name", MACHINES)
def test_numbers_are_those_of_the_kernel_s_headers(name):
    header = Path(HEADERS[name])
    if not header.is_file():
        pytest.skip(f"no {header} here")
    text = header.read_text(encoding="utf-8")
    found = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    assert {call: found.get(call) for call in MACHINES[name].numbers} == MACHINES[name].numbers


def test_the_way_in_can_be_loaded_where_it_cannot_work():
    code = "import sys, crashlab.writers.record.seccomp; print('crashlab.writers.record.seccomp.kernel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
