"""Sub-seeds by field name, so that drawing one field never shifts another's draw."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:
    # The same function; its module loads OpenSSL too, for which every recorded program would wait.
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random


def subseed(seed: int, *fields: object) -> int:
    """Return a 64-bit seed for `fields` under `seed`; the same input gives the same seed for ever."""
    text = "\x1f".join([str(seed), *map(str, fields)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def rng_for(seed: int, *fields: object) -> random.Random:
    """Return a generator of its own for `fields` under `seed`."""
    import random

    return random.Random(subseed(seed, *fields))
