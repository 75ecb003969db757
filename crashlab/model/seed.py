"""Sub-seeds by field name, so that drawing one field never shifts another's draw."""

import hashlib
import random


def subseed(seed: int, *fields: object) -> int:
    """Return a 64-bit seed for `fields` under `seed`; the same input gives the same seed for ever."""
    text = "\x1f".join([str(seed), *map(str, fields)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def rng_for(seed: int, *fields: object) -> random.Random:
    """Return a generator of its own for `fields` under `seed`."""
    return random.Random(subseed(seed, *fields))
