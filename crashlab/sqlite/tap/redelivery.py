"""What a signal handler raised inside a callback is raised anew, once the program's own code runs again."""

from __future__ import annotations

import ctypes
import sys
import time
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

DELAY_S = 0.001
# A listener may hold a call for long (a pause); after so many looks the exception comes all the same.
LOOKS_MAX = 10_000
_TAP = __name__.rpartition(".")[0]


def raise_soon(error: type[BaseException]) -> None:
    """Raise `error` in this thread as soon as it is outside the tap: raised inside, it would vanish in C."""
    # Thread.start() waits for the new thread, and may be struck in that wait: the look at the frames prevents it.
    import threading

    threading.Thread(target=_raise_outside, args=(get_ident(), error), daemon=True).start()


def _raise_outside(thread: int, error: type[BaseException]) -> None:
    for _ in range(LOOKS_MAX):
        time.sleep(DELAY_S)
        if not _inside_tap(sys._current_frames().get(thread)):
            break
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _inside_tap(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").rpartition(".")[0] == _TAP:
            return True
        frame = frame.f_back
    return False
