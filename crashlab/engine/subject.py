"""Subjects: what a configuration names to be judged."""

import msgspec

from crashlab.model.case import Param


class Subject(msgspec.Struct, frozen=True):
    """A workload under a name; `params` override the workload's own defaults.

    `path` holds directories that go in front of the import path of the processes that import it.
    """

    name: str
    workload: str
    path: tuple[str, ...] = ()
    params: dict[str, Param] = {}
