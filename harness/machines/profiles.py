"""How long the machines run: `dev`, `ci`, `nightly`, as in `crashlab.strategies.register_profiles`."""

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from crashlab.errors import UsageError
from crashlab.strategies.profiles import PROFILES, register_profiles

DATABASE = Path(".crashlab") / "hypothesis"
"""Where `nightly` keeps what failed, to try it first the next night; relative to the working directory."""

_SIZES = {"dev": (10, 10), "ci": (40, 14), "nightly": (1_000, 40)}
"""Runs, and rules a run."""


def machine_settings(profile: str) -> settings:
    """Return the settings of a profile for a machine.

    Raises:
        UsageError: an unknown profile.
    """
    if profile not in PROFILES:
        raise UsageError(f"profile {profile!r}, expected one of {', '.join(PROFILES)}")
    register_profiles()
    runs, rules = _SIZES[profile]
    base = settings(
        settings.get_profile(f"crashlab-{profile}"),
        max_examples=runs,
        stateful_step_count=rules,
        # Each run opens and closes databases, and draws a crash state from what a leg recorded.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    return base if profile != "nightly" else settings(base, database=DirectoryBasedExampleDatabase(DATABASE))
