"""Exact money: whole units in, integers of the smallest unit inside.

One XRP is 10**6 drops (https://xrpl.org/docs/references/protocol/data-types/currency-formats); RLUSD is kept
in micro units, also 10**-6.
"""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from store.errors import StoreValidation
from store.validation import amount, did_you_mean, integer, shown

PLACES: Final = 6
ONE: Final = 10**PLACES
MAX_BALANCE: Final = 2**62 - 1  # of fills and of capital each, so that their sum fits into 64 bits

# Above zero, far from the limits, and fine enough for no amount to be refused.
_USUAL: Final = re.compile(r"(?=[0.]*[1-9])(0|[1-9][0-9]{0,9})\.([0-9]{1,6})").fullmatch
_USUAL_TRADE: Final = re.compile(
    r"(?=[0.]*[1-9])(0|[1-9][0-9]{0,9})\.([0-9]{1,30}) (?=[0.]*[1-9])(0|[1-9][0-9]{0,9})\.([0-9]{1,6})"
).fullmatch
_TENS: Final = tuple(10**power for power in range(31))


class Asset(StrEnum):
    """What the engine holds; prices are in RLUSD for one XRP."""

    XRP = "XRP"
    RLUSD = "RLUSD"


class Holdings(NamedTuple):
    """An amount of each asset, in drops and micro units; may be negative."""

    xrp_drops: int = 0
    rlusd_micros: int = 0

    def plus(self, other: "Holdings") -> "Holdings":
        """The sum, asset by asset."""
        return Holdings(self.xrp_drops + other.xrp_drops, self.rlusd_micros + other.rlusd_micros)

    def of(self, asset: Asset) -> int:
        """The amount of one asset."""
        return self.xrp_drops if asset is Asset.XRP else self.rlusd_micros


def checked_asset(value: object) -> Asset:
    """The asset of that name; raises StoreValidation for another."""
    if isinstance(value, str) and value in Asset.__members__:
        return Asset(value)
    raise StoreValidation(f"unknown asset {shown(value)}; {did_you_mean(value, Asset.__members__)}")


def checked_holdings(value: object, what: str) -> Holdings:
    """Holdings of two integers of 64 bits; raises StoreValidation for anything else."""
    if not isinstance(value, Holdings):
        raise StoreValidation(f"{what} must be Holdings(xrp_drops, rlusd_micros), not {shown(value)}")
    for part, field in zip(value, value._fields, strict=True):
        integer(part, f"{what}.{field}", least=-(2**63))
    return value


def balance(units: int, what: str) -> int:
    """The units, if a balance may be that large; raises StoreValidation otherwise."""
    return integer(units, what, -MAX_BALANCE, MAX_BALANCE)


def to_units(value: Decimal | int | str, what: str) -> int:
    """A positive amount of whole units in smallest units; raises StoreValidation for a finer one."""
    usual = _USUAL(value) if type(value) is str else None
    if usual:
        return int(usual[1]) * ONE + int(usual[2].ljust(PLACES, "0"))
    whole, _, part = amount(value, what).partition(".")
    part = part.rstrip("0")
    if len(part) > PLACES:
        raise StoreValidation(f"{what} has more than {PLACES} decimal places: {shown(value)}")
    return balance(int(whole + part.ljust(PLACES, "0")), what)


def trade(price: Decimal | int | str, quantity: Decimal | int | str) -> tuple[str, str, int, int]:
    """Price, quantity, drops and worth in micro units; raises StoreValidation for what is no amount, or too much."""
    if type(price) is str and type(quantity) is str:
        usual = _USUAL_TRADE(f"{price} {quantity}")
        if usual:
            whole, part, xrp, fraction = usual.groups()
            drops = int(xrp + fraction) * _TENS[PLACES - len(fraction)]
            return price, quantity, drops, _rounded(drops * int(whole + part), _TENS[len(part)])
    price, quantity = amount(price, "price"), amount(quantity, "quantity")
    drops = to_units(quantity, "quantity")
    return price, quantity, drops, value_of(drops, price)


def value_of(xrp_drops: int, price: str) -> int:
    """The drops' worth in micro units at a decimal price, rounded half to even, once.

    Only integers are multiplied and divided: the result does not depend on any decimal context. Raises
    StoreValidation for a worth that no balance can hold.
    """
    whole, _, part = price.partition(".")
    return _rounded(xrp_drops * int(whole + part), _TENS[len(part)])


def _rounded(units: int, scale: int) -> int:
    micros, rest = divmod(units, scale)
    twice = 2 * rest
    if twice > scale or (twice == scale and micros % 2):
        micros += 1
    return micros if -MAX_BALANCE <= micros <= MAX_BALANCE else balance(micros, "price times quantity")


def decimal_text(units: int) -> str:
    """Smallest units as a plain decimal of whole units: 1500000 is "1.500000"."""
    whole, part = divmod(abs(units), ONE)
    return f"{'-' if units < 0 else ''}{whole}.{part:0{PLACES}d}"
