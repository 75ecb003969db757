"""Hypothesis profiles for tests that touch a disk. Registered when asked for, never at import."""

from hypothesis import Verbosity, settings

PROFILES = ("dev", "ci", "nightly")


def register_profiles(prefix: str = "crashlab-") -> tuple[str, ...]:
    """Register the profiles `dev`, `ci` and `nightly` under a prefix and return their names; loads none.

    All have `deadline=None` (a disk has no deadline) and print the blob that reproduces a failure. `ci` is
    the same every time and keeps no database. `nightly` draws anew each night: Hypothesis's own `ci`, which
    is active wherever `CI` is set, would run the same hundred examples for ever.
    """
    base = settings(deadline=None, print_blob=True, verbosity=Verbosity.normal)
    made = {
        "dev": settings(base, max_examples=50),
        "ci": settings(base, max_examples=200, derandomize=True, database=None),
        "nightly": settings(base, max_examples=5000, derandomize=False),
    }
    for name in PROFILES:
        settings.register_profile(prefix + name, made[name])
    return tuple(prefix + name for name in PROFILES)
