"""A worker's process ends with its owner, even if the owner is killed and the worker is busy."""

import contextlib
import os
import select
import signal
import threading

_OWNER_GONE = 71


def die_with_owner(descriptor: int = 0) -> None:
    """End this process, and what it has started, when the other end of a pipe closes.

    A worker that waits for its next order sees the end of the pipe itself; one that hangs in somebody
    else's restart path would outlive its owner. Only a leader of its own session ends its group. Where
    pipes cannot be polled (Windows) a worker ends with what it is doing.
    """
    if hasattr(select, "poll"):
        threading.Thread(target=_wait_and_die, args=(descriptor,), name="owner", daemon=True).start()


def _wait_and_die(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, 0)  # nothing but the hang-up, which is always told
    poller.poll()
    with contextlib.suppress(OSError):
        if os.getpid() == os.getsid(0):
            os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(_OWNER_GONE)
