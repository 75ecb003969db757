"""The gate's settings in layers: `[gate]`, a subject's own, and a profile of either."""

from collections.abc import Iterator
from typing import Any

import msgspec

from crashlab.errors import ConfigError, did_you_mean

__all__ = ["PROFILES", "merge_gate", "profile_layers"]

PROFILES = "profiles"
_NESTED = ("policy", "trace", "schedules")
_OF_THE_GRID = ("weights", "rows_by", "unreachable")


def merge_gate(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of all layers, a later one over an earlier one.

    `policy`, `trace` and `schedules` are merged key by key, everything else is replaced. A layer with a `grid` of its
    own leaves behind what belonged to the grid before.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if "grid" in layer:
            for name in _OF_THE_GRID:
                merged.pop(name, None)
        for name, value in layer.items():
            if name == PROFILES:
                continue
            if name in _NESTED and isinstance(value, dict):
                merged[name] = {**merged.get(name, {}), **value}
            else:
                merged[name] = value
    return merged


def profile_layers(gate: dict[str, Any], own: dict[str, Any], profile: str, where: str) -> Iterator[dict[str, Any]]:
    """Yield the layers for a subject: the gate's, its own, then the profile of each.

    Raises:
        ConfigError: neither has a profile of that name.
    """
    yield gate
    yield own
    if not profile:
        return
    found = [layer[PROFILES][profile] for layer in (gate, own) if profile in layer.get(PROFILES, {})]
    if not found:
        known = sorted({name for layer in (gate, own) for name in layer.get(PROFILES, {})})
        raise ConfigError(
            f"{where}: no profile {profile!r}; there are: {', '.join(known) or 'none'}{did_you_mean(profile, known)}"
        )
    yield from found


def as_layer(struct: msgspec.Struct) -> dict[str, Any]:
    """Return a struct's settings as a layer."""
    layer: dict[str, Any] = msgspec.to_builtins(struct)
    return layer
