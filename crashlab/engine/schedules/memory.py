"""The C library's memory in a process that runs schedules: one pool, and nothing given back between runs.

Hundreds of times a second connections take and free the same few hundred kilobytes, each on another thread. glibc
gives each thread a pool of its own and returns what is free to the system: a sixth of a schedule's time.
"""

import ctypes

__all__ = ["keep_memory"]

# https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
_TRIM_THRESHOLD, _TOP_PAD, _ARENA_MAX = -1, -2, -8
KEPT_BYTES = 64 << 20
TAKEN_BYTES = 4 << 20


def keep_memory() -> bool:
    """Ask for it; call it before the first thread starts. Return whether this C library does it (glibc)."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    set_option.argtypes, set_option.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    wanted = ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, KEPT_BYTES), (_TOP_PAD, TAKEN_BYTES))
    return all(set_option(option, value) == 1 for option, value in wanted)
