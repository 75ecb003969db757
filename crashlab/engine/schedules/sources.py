"""Where the scripts come from: the generic workload's are drawn, a subject's are the first steps of its lanes."""

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from crashlab.engine.schedules.generic import AUTOCHECKPOINTS, DRAWN, draw_generic, generic_script
from crashlab.model.case import Param
from crashlab.model.schedule import Actor, Script, Segment
from crashlab.model.seed import subseed

__all__ = ["GenericSource", "LanesSource", "Source"]

CALIBRATING_SEEDS = 3
ALL = 1000
"""More steps than a schedule of so many points has."""


class Source(Protocol):
    """Draws scripts, and knows some to measure."""

    def draw(self, rng: random.Random) -> Script:
        """Return one script."""

    def measured(self) -> Sequence[Script]:
        """Scripts whose runs tell what steps cost."""

    def label(self, lane: str, place: int, params: Mapping[str, Param]) -> str:
        """What kind of step it is."""

    def plain(self, script: Script, segments: Sequence[Segment]) -> tuple[Script, Sequence[Segment]]:
        """The same script without what is passed over in it, where there is such a form."""


class GenericSource:
    """Two to four connections with one to four operations each, and beside them `foreign` actors."""

    def __init__(
        self,
        mix: str = DRAWN,
        *,
        actors: tuple[int, int] = (2, 4),
        steps: tuple[int, int] = (1, 4),
        foreign: tuple[Actor, ...] = (),
    ) -> None:
        self._mix = mix
        self._actors = actors
        self._steps = steps
        self._foreign = foreign

    def draw(self, rng: random.Random) -> Script:
        """See `Source`."""
        return self._beside(draw_generic(rng, self._mix, actors=self._actors, steps=self._steps))

    def measured(self) -> Sequence[Script]:
        """See `Source`."""
        programs = "IRCICIR|RIC" + ("|OIO" if "O" in self._mix else "")
        return [self._beside(generic_script(programs, auto)) for auto in AUTOCHECKPOINTS]

    def label(self, lane: str, place: int, params: Mapping[str, Param]) -> str:
        """See `Source`."""
        if any(actor.lane == lane for actor in self._foreign):
            return f"{lane}:{place}"
        letter = str(params["programs"]).split("|")[ord(lane) - 97][place]
        return f"I{params['autocheckpoint']}" if letter == "I" else letter

    def plain(self, script: Script, segments: Sequence[Segment]) -> tuple[Script, Sequence[Segment]]:
        """Only the letters that are done, only the actors that do something; with foreign ones as it is."""
        if self._foreign:
            return script, segments
        words = str(script.params["programs"]).split("|")
        kept = [number for number, actor in enumerate(script.actors) if actor.steps]
        done = ["".join(words[number][place] for place in script.actors[number].steps) for number in kept]
        renumbered = {number: place for place, number in enumerate(kept)}
        rest = [
            Segment(renumbered[segment.actor], segment.calls, segment.fault)
            for segment in segments
            if segment.actor in renumbered
        ]
        return generic_script("|".join(done), int(script.params["autocheckpoint"])), rest

    def _beside(self, script: Script) -> Script:
        return msgspec.structs.replace(script, actors=(*script.actors, *self._foreign)) if self._foreign else script


class LanesSource:
    """The first steps of each lane, 1 to `steps_max` of them, or all (0): those of lanes that meet belong together.

    Each schedule has a seed of its own for the workload.
    """

    def __init__(self, subject: str, lanes: Sequence[str], params: Mapping[str, Param], steps_max: int) -> None:
        self._subject = subject
        self._lanes = lanes
        self._params = dict(params)
        self._steps_max = steps_max

    def draw(self, rng: random.Random) -> Script:
        """See `Source`."""
        seed = rng.getrandbits(64)
        if not self._steps_max:
            return self._script(seed, [ALL] * len(self._lanes))
        return self._script(seed, [rng.randint(1, self._steps_max) for _ in self._lanes])

    def measured(self) -> Sequence[Script]:
        """See `Source`."""
        counts = [self._steps_max or ALL] * len(self._lanes)
        return [self._script(subseed(0, "calibrate", number), counts) for number in range(CALIBRATING_SEEDS)]

    def label(self, lane: str, place: int, _params: Mapping[str, Param]) -> str:
        """See `Source`."""
        return f"{lane}:{place}" if self._steps_max else lane

    def plain(self, script: Script, segments: Sequence[Segment]) -> tuple[Script, Sequence[Segment]]:
        """As it is: the lanes are the program's."""
        return script, segments

    def _script(self, seed: int, counts: Sequence[int]) -> Script:
        actors = tuple(Actor(lane, tuple(range(n))) for lane, n in zip(self._lanes, counts, strict=True))
        return Script(self._subject, seed, actors, self._params)
