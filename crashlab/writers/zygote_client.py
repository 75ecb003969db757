"""The owner's side of a zygote."""

import contextlib
import socket
import subprocess
import sys

from crashlab.errors import LabError, SubjectError
from crashlab.model.history import Ended
from crashlab.writers.frames import read_frame, send_frame
from crashlab.writers.order import Order
from crashlab.writers.zygote import Hello, Ready

START_S = 30.0
MARGIN_S = 10.0


class ZygoteLauncher:
    """One zygote process and the socket to it; see `Launcher`."""

    def __init__(self, workload: str, path: tuple[str, ...] = ()) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._stream = ours.makefile("rwb")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crashlab.writers.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what the workload prints at its import is not in our report
                start_new_session=True,  # a Ctrl-C at the terminal reaches the owner alone
            )
        except OSError as error:
            ours.close()
            raise LabError(f"the zygote did not start: {error}") from error
        finally:
            theirs.close()
        try:
            ours.settimeout(START_S)
            send_frame(self._stream, Hello(workload, path))
            ready = read_frame(self._stream, Ready)
        except OSError as error:
            self.close()
            raise LabError(f"the zygote did not answer within {START_S} s: {error}") from error
        except BaseException:
            self.close()  # a time limit of the caller's, or Ctrl-C: leave no process behind
            raise
        if ready is None or ready.error:
            self.close()
            raise SubjectError(ready.error if ready else f"workload {workload!r}: importing it ended the process")

    def launch(self, order: Order) -> Ended:
        """Run one order; see `Launcher`."""
        grace = order.hangup.grace_s if order.hangup else 0.0
        self._socket.settimeout(order.deadline_s + grace + MARGIN_S)
        try:
            send_frame(self._stream, order)
            ended = read_frame(self._stream, Ended)
        except OSError as error:
            raise LabError(f"the zygote did not report within its deadline: {error}") from error
        if ended is None:
            raise LabError("the zygote died while it ran an order")
        return ended

    def close(self) -> None:
        """Close the socket: the zygote ends its writers and itself."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in launch(); close() alone would not
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
