"""What the engine does in a run: deeds over the store, each with its effects declared beforehand."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from crashlab.model.seed import rng_for
from crashlab.model.step import Effect
from crashlab.model.workload import Context
from harness.workloads.paper_session.desk import Desk
from harness.workloads.paper_session.exchange import Answer, Market, Touch
from harness.workloads.paper_session.money import drops_of, market_row, moved
from harness.workloads.paper_session.reasons import Halt, halts
from harness.workloads.paper_session.tables import CAPITAL, FILLS, LEDGER, MARKETS, Side, Working
from store import Asset, HaltReason
from store.books.units import ONE, decimal_text

# Shares of orders that are replaced, filled, filled whole, and heard of when they have ended; of ticks with capital;
# of deeds that are done twice; of sessions that recover the one before.
_REPLACED, _FILLED, _WHOLE, _LATE, _CAPITAL, _TWICE, _RECOVERS = 0.35, 0.5, 0.4, 0.4, 0.15, 0.2, 0.5

OFF_BY: Final = {"seeded": (0, 0, 40, 250), "none": (0,), "always": (250,)}
"""By how many hundredths of a percent the engine miscounts what it holds."""

RECOVER: Final = {"seeded": _RECOVERS, "always": 1.0, "never": 0.0}
_BASIS: Final = (("XRP", "40.5", "0.512"), ("RLUSD", "37.25", "1"))


def nothing() -> None:
    """Nothing."""


@dataclass
class Deed:
    """One transaction: its effects, the call that makes it, and what the engine does once that has returned.

    `twice`: the call is made again at once, as by a caller who lost the answer; it returns the same. `lockable`:
    it may meet a database that somebody else has locked.
    """

    effects: tuple[Effect, ...]
    act: Callable[[], object]
    done: Callable[[], None] = nothing
    twice: bool = False
    lockable: bool = True


class Trading:
    """The deeds of a run; the same seed and parameters give the same ones."""

    def __init__(self, desk: Desk, ctx: Context) -> None:
        self._desk = desk
        self._params = ctx.params
        self._rng: random.Random = rng_for(ctx.seed, "trading")
        self._market = Market(rng_for(ctx.seed, "market"))
        miscount = OFF_BY[str(ctx.params["miscount"])]
        self._halts = halts(rng_for(ctx.seed, "halts"), same=bool(ctx.params["same_reason"]), off_by=miscount)
        self._quotes: dict[Side, Working] = {}
        self._ended: list[Working] = []
        self._orders = self._fills = self._events = 0

    def deeds(self) -> Iterator[Deed]:
        """Yield each deed when the one before has been done; the last session is left to the process's end."""
        desk, sessions = self._desk, int(self._params["sessions"])
        for asset, quantity, price in _BASIS:
            yield self._basis(asset, quantity, price)
        for number, halt in enumerate(islice(self._halts, sessions)):
            if number:
                yield Deed((), desk.stop, lockable=False)
                yield Deed((), desk.open, lockable=False)
                if self._draw(0.5):
                    yield self._capital(lockable=False)
            recovers = number and self._draw(RECOVER[str(self._params["recover"])])
            yield Deed((), partial(desk.start, desk.session if recovers else None, halt), lockable=False)
            yield from self._session(halt)

    def _session(self, halt: Halt) -> Iterator[Deed]:
        """Ticks until the session's time is over; one that fails to start has none."""
        self._quotes.clear()
        self._ended.clear()
        wired = self._desk.wired
        ticks = (
            0 if halt.reason is HaltReason.STARTUP_FAILURE else int(float(self._params["duration_s"]) / wired.tick_s)
        )
        for tick in range(ticks):
            touch = self._market.tick()
            yield self._snapshot(tick, touch)
            due = not tick * wired.tick_s % wired.requote_s and touch.spread_bps > wired.clob_switch_bps
            if due and not wired.dry_run:
                yield from self._requote(touch)
            yield from self._trade()
            if self._draw(_CAPITAL):
                yield self._capital()

    def _snapshot(self, tick: int, touch: Touch) -> Deed:
        session = self._desk.session
        bid, ask = decimal_text(touch.bid), decimal_text(touch.ask)
        ours = {side: order.price for side, order in self._quotes.items() if order.is_live}
        quotes = ours.get("buy"), ours.get("sell")
        row = market_row(bid, ask, *quotes)
        record = self._desk.store.record_market_snapshot
        act = partial(record, session, tick, best_bid=bid, best_ask=ask, our_bid=quotes[0], our_ask=quotes[1])
        return Deed((Effect(MARKETS, (session, tick), row),), act, twice=self._draw(_TWICE))

    def _requote(self, touch: Touch) -> Iterator[Deed]:
        """Renew the quote of each side that has none, and some others; then do what the gateway answers."""
        sides: tuple[Side, ...] = ("buy", "sell")
        for side in sides:
            old = self._quotes.get(side)
            if old is not None and old.is_live and not self._draw(_REPLACED):
                continue
            order_id, self._orders = f"o{self._orders}", self._orders + 1
            price, quantity = self._market.quote(side, touch), self._market.quantity()
            order = self._quotes[side] = Working(order_id, self._desk.session, side, price, quantity)
            yield self._submit(order, old if old is not None and old.is_live else None)
            answer = self._desk.submit_and_wait(order_id)
            if answer.refusal:
                yield self._end(order, "FAILED", answer.refusal)
            else:
                yield self._sent(order, answer)
                if answer.offer_sequence is not None:
                    yield self._accept(order, answer.offer_sequence)

    def _submit(self, order: Working, replaced: Working | None) -> Deed:
        store = self._desk.store

        def act() -> int:
            with store.transaction():
                if replaced is not None:
                    store.cancel_order(replaced.order_id, "replaced")
                return store.submit_order(
                    order.order_id,
                    session_id=order.session,
                    side=order.side,
                    price=order.price,
                    quantity=decimal_text(order.quantity_drops),
                )

        def done() -> None:
            if replaced is not None:
                self._is_now(replaced, "CANCELED")
            self._is_now(order, "SUBMITTED")

        return Deed((order.effect(),), act, done, twice=self._draw(_TWICE))

    def _sent(self, order: Working, answer: Answer) -> Deed:
        def done() -> None:
            order.tx_hash = answer.tx_hash

        act = partial(self._desk.store.record_submit_tx, order.order_id, answer.tx_hash)
        return Deed((order.effect(tx_hash=answer.tx_hash),), act, done, twice=self._draw(_TWICE))

    def _accept(self, order: Working, sequence: int) -> Deed:
        def done() -> None:
            order.offer_sequence = sequence
            self._is_now(order, "ACTIVE")

        act = partial(self._desk.store.accept_order, order.order_id, sequence)
        return Deed((order.effect(offer_sequence=sequence),), act, done, twice=self._draw(_TWICE))

    def _end(self, order: Working, status: str, reason: str) -> Deed:
        """Cancel or fail an order; one that has ended already stays what it is."""
        store, had_ended = self._desk.store, not order.is_live
        end = store.fail_order if status == "FAILED" else store.cancel_order

        def act() -> None:
            end(order.order_id, reason)  # whether this call did it is no answer that a repetition could give again

        def done() -> None:
            if not had_ended:
                self._is_now(order, status)

        return Deed((), act, done, twice=self._draw(_TWICE))

    def _trade(self) -> Iterator[Deed]:
        """Fills of live orders; fills and cancels that come for orders which have ended."""
        for order in list(self._quotes.values()):
            if order.is_live and self._draw(_FILLED):
                yield self._fill(order, order.left if self._draw(_WHOLE) else self._rng.randint(1, order.left))
        if self._ended and self._draw(_LATE):
            order = self._rng.choice(self._ended)
            if order.status == "CANCELED" and order.left:
                yield self._fill(order, self._rng.randint(1, order.left))
            else:
                yield self._end(order, "CANCELED", "too late")

    def _fill(self, order: Working, drops: int) -> Deed:
        desk, now = self._desk, self._desk.now()
        fill_id, self._fills = f"f{self._fills}", self._fills + 1
        quantity, delta = decimal_text(drops), moved(order.side, drops, order.price)
        row = (order.session, order.side, order.price, quantity, now, order.order_id)
        effects = (
            Effect(FILLS, (fill_id,), row),
            *(Effect(LEDGER, (fill_id, asset.value), (order.session, delta.of(asset))) for asset in Asset),
            order.effect(more=drops),
        )

        def done() -> None:
            order.filled_drops += drops
            desk.counted = desk.counted.plus(delta)
            if order.is_live:
                self._is_now(order, "PARTIALLY_FILLED" if order.left else "FILLED")

        act = partial(
            desk.store.record_order_fill,
            fill_id,
            order_id=order.order_id,
            session_id=order.session,
            price=order.price,
            quantity=quantity,
            ts=now,
        )
        return Deed(effects, act, done, self._draw(_TWICE))

    def _basis(self, asset: str, quantity: str, price: str) -> Deed:
        row = ("initial_basis", asset, drops_of(quantity), price, "")
        act = partial(self._desk.store.write_initial_basis, asset, quantity, price)
        effect = Effect(CAPITAL, (f"initial_basis:{asset}",), row)
        return Deed((effect,), act, twice=self._draw(_TWICE), lockable=False)

    def _capital(self, *, lockable: bool = True) -> Deed:
        """A deposit, or a withdrawal of what is there."""
        desk = self._desk
        asset, units = self._rng.choice(list(Asset)), self._rng.randint(1, 5 * ONE)
        withdraws = self._draw(0.4) and desk.counted.of(asset) > units
        kind, signed = ("withdrawal", -units) if withdraws else ("deposit", units)
        event, self._events = f"capital-{self._events}", self._events + 1
        row = (kind, asset.value, signed, None, event)

        def done() -> None:
            held = desk.counted._asdict()
            held["xrp_drops" if asset is Asset.XRP else "rlusd_micros"] += signed
            desk.counted = type(desk.counted)(**held)

        act = partial(desk.store.inject_capital, event, asset, decimal_text(units), kind=kind, note=event)
        return Deed((Effect(CAPITAL, (event,), row),), act, done, self._draw(_TWICE), lockable)

    def _is_now(self, order: Working, status: str) -> None:
        """An order's change was acked."""
        order.status = status
        self._desk.teller.order(order.order_id, status)
        if not order.is_live:
            self._ended.append(order)

    def _draw(self, share: float) -> bool:
        return self._rng.random() < share
