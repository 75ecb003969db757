"""Balances of one session: what it opened with, its fills, the capital overlay, and their total."""

from typing import NamedTuple

from store.books.capital import Capital
from store.books.units import Holdings
from store.validation import MAX_INTEGER


class SessionHoldings(NamedTuple):
    """A session's balances in smallest units: `total` is what the session opened with, plus fills, plus overlay."""

    opening: Holdings
    fills_only: Holdings
    overlay: Holdings
    total: Holdings


class Balances(Capital):
    """The sums behind ending balances, the summary and the drift check."""

    def _session_holdings(self, session_id: int, opening: Holdings, window: tuple[int, int | None]) -> SessionHoldings:
        fills_only = self._fills_only(session_id)
        overlay = self._overlay(*window)
        return SessionHoldings(opening, fills_only, overlay, self._total(opening, fills_only, overlay))

    def _overlay(self, started_at: int, ended_at: int | None) -> Holdings:
        """The capital of the session's time window; until now for an open one."""
        return self._capital_between(started_at, MAX_INTEGER if ended_at is None else ended_at)

    def _total(self, opening: Holdings, fills_only: Holdings, overlay: Holdings) -> Holdings:
        """All three: the ledger's balances hold fills only."""
        return opening.plus(fills_only).plus(overlay)
