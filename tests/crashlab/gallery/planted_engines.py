"""Engines that differ from the exhibit's in one thing, which the exhibit must notice."""

import time

from crashlab.gallery.s38.writer import Engine
from crashlab.model.step import Step


class AcksBeforeCommit(Engine):
    """Acks its last fill while that is still in the open transaction."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            yield (
                Step(step.seq, step.effects, lambda step=step: self._lie(step, instance)) if step.effects[1:] else step
            )

    def _lie(self, step, instance):
        instance.connection.execute("BEGIN IMMEDIATE")
        for fill in step.effects:
            instance.connection.execute("INSERT INTO fills VALUES(?, ?, ?, ?)", (*fill.key, *fill.value))
        return step.effects[:1]


class DiesOfItself(Engine):
    """Ends for a reason of its own after the terminal has closed."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            if not step.effects:
                time.sleep(0.3)
                raise RuntimeError("a defect that has nothing to do with the terminal")
            yield step


class NeverEnds(Engine):
    """Hangs for longer than anybody waits."""

    def steps(self, lane, instance, ctx):
        yield from super().steps(lane, instance, ctx)
        time.sleep(60)


class LeavesNoBacklog(Engine):
    """Checkpoints after its last commit: the twin with nothing in the WAL alone."""

    def steps(self, lane, instance, ctx):
        for step in super().steps(lane, instance, ctx):
            yield (
                Step(step.seq, step.effects, lambda step=step: self._flush(step, instance))
                if step.effects[1:]
                else step
            )

    def _flush(self, step, instance):
        fill = step.effects[0]
        instance.connection.execute("INSERT INTO fills VALUES(?, ?, ?, ?)", (*fill.key, *fill.value))
        instance.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return (fill,)
