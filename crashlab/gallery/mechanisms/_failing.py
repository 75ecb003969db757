"""A disk that fails when it is told to: what the exhibits of I/O errors share."""

from crashlab.errors import LabError
from crashlab.gallery.stage.actor import Actor
from crashlab.gallery.stage.actor_child import Self
from crashlab.gallery.stage.stage import WAL, Stage
from crashlab.sqlite.tap import Failer, Failure, Selector, Tap

__all__ = ["arm", "disarm", "failing"]


def failing(stage: Stage, name: str, selector: str, failure: Failure) -> Actor:
    """Start an actor that opens the database over a tap whose failer is not armed yet."""
    actor = stage.actor(name)
    actor.call(prepare, selector, str(failure))
    actor.open(str(stage.main), *WAL)
    return actor


def prepare(actor: Self, selector: str, failure: str) -> None:
    """Install the tap; runs in the actor's process, before it opens anything."""
    failer = Failer(Selector.parse(selector), Failure(failure), persistent=True)
    failer.clear()
    actor.state["failer"] = failer
    actor.state["tap"] = Tap(failer)
    actor.state["tap"].install()


def arm(actor: Self) -> None:
    """From now on the selector's n-th call and all behind it fail; runs in the actor's process."""
    trip = actor.state["failer"].trip
    trip.seen = trip.fired = 0
    trip.enabled = True


def disarm(actor: Self) -> int:
    """The disk is well again; runs in the actor's process. Raises LabError if nothing failed meanwhile."""
    trip = actor.state["failer"].trip
    trip.enabled = False
    if not trip.fired:
        raise LabError(f"the failure at {trip.selector} did not fire")
    return int(trip.fired)
