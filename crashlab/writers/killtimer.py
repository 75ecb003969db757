"""SIGKILL to oneself after some microseconds, delivered by the kernel in the middle of whatever runs.

A POSIX timer (`timer_create(2)` with `SIGEV_SIGNAL`) may carry any signal, SIGKILL too. Nobody has to
watch the writer from outside, and the kill lands inside SQLite's own system calls or between any two of
its instructions. Where there are no such timers (macOS, Windows) the owner kills from outside.
"""

import ctypes
import signal
import sys

from crashlab.sqlite.tap.killer import kill_self

_CLOCK_MONOTONIC = 1
_SIGEV_SIGNAL = 0


class _SigEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("pad", ctypes.c_byte * 48),
    )


class _TimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def _load() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    for name in (None, "librt.so.1"):  # glibc before 2.34 keeps the timers in librt
        try:
            library = ctypes.CDLL(name, use_errno=True)
            library.timer_create  # noqa: B018
        except (OSError, AttributeError):
            continue
        return library
    return None


_library = _load()
AVAILABLE = _library is not None


def kill_self_in(delay_us: int) -> None:
    """Arm a SIGKILL to this process `delay_us` microseconds from now; 0 kills at once.

    Raises:
        OSError: the kernel refused the timer.
    """
    if delay_us <= 0 or _library is None:
        kill_self()
    event = _SigEvent(None, signal.SIGKILL, _SIGEV_SIGNAL)
    timer = ctypes.c_void_p()
    if _library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) != 0:
        raise OSError(ctypes.get_errno(), "timer_create")
    spec = _TimerSpec(0, 0, delay_us // 1_000_000, delay_us % 1_000_000 * 1000)
    if _library.timer_settime(timer, 0, ctypes.byref(spec), None) != 0:
        raise OSError(ctypes.get_errno(), "timer_settime")
