"""What is recorded of a planted bug."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """A store with one bug, and what catches it.

    `workload` and `twin` are `module:attr`: the broken store and the good one, under the same parameters.
    `oracle` and `invariant` name the finding, `fault` is the text of the fault that brings it out. A store
    whose bug needs luck shows it within `trials` different seeds.
    """

    id: str
    title: str
    broken: str
    oracle: str
    invariant: str
    module: str
    fault: str = "none"
    trials: int = 2

    @property
    def workload(self) -> str:
        """The broken store as a subject's workload."""
        return f"{self.module}:workload"

    @property
    def twin(self) -> str:
        """The good store under the same parameters."""
        return f"{self.module}:twin"
