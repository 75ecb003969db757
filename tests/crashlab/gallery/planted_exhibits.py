"""A host whose exhibits misbehave."""

import os
import signal
import time

from crashlab.gallery import host_child
from crashlab.gallery.exhibit import Exhibit
from crashlab.model.contract import FaultClass


def hangs(stage):
    stage.opener("W")
    time.sleep(60)


def dies(_stage):
    os.kill(os.getpid(), signal.SIGBUS)


def breaks(_stage):
    raise ZeroDivisionError("a defect of the exhibit")


host_child.load_exhibits = lambda: {
    run.__name__: Exhibit(run.__name__, "t", FaultClass.NONE, "h", "c", run, {}, "s", ("a",), seconds_max=1.0)
    for run in (hangs, dies, breaks)
}
host_child.main()
