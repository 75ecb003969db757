"""What this machine can and cannot do for the lab, as facts that say what follows and what to do."""

from crashlab.engine.machine.fact import Fact, State
from crashlab.engine.machine.look import look_at_machine

__all__ = ["Fact", "State", "look_at_machine"]
