"""The tables of the books, as the statements of their migration. Published: never edited.

Amounts are integers in drops (XRP) or micro units (RLUSD), both 10**-6; prices are decimal text; times are
nanoseconds since 1970; `_bps` are basis points as floats, which are measures and no money.
"""

from typing import Final

# Not IN (...): SQLite builds a temporary table for a list of three or more, each time a row is written.
IS_LIVE: Final = "(status = 'SUBMITTED' OR status = 'ACTIVE' OR status = 'PARTIALLY_FILLED')"

STATEMENTS: Final = (
    # The latest time given to a session's boundary or a capital event: each gets a later one, so that
    # a session's time window has no ties at its ends, whatever the clock's resolution.
    """CREATE TABLE books_clock (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        latest INTEGER NOT NULL)""",
    """INSERT INTO books_clock (only, latest)
        SELECT 1, max(coalesce(max(started_at), 0), coalesce(max(ended_at), 0)) FROM sessions""",
    "ALTER TABLE sessions ADD COLUMN opening_xrp_drops INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN opening_rlusd_micros INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN ending_xrp_drops INTEGER",
    "ALTER TABLE sessions ADD COLUMN ending_rlusd_micros INTEGER",
    "ALTER TABLE sessions ADD COLUMN halt_reason TEXT",
    "CREATE INDEX sessions_open ON sessions (session_id) WHERE ended_at IS NULL",
    """CREATE TABLE orders (
        order_row INTEGER PRIMARY KEY,
        order_id TEXT NOT NULL UNIQUE,
        session_id INTEGER NOT NULL REFERENCES sessions (session_id),
        side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
        price TEXT NOT NULL CHECK (typeof(price) = 'text'),
        quantity_drops INTEGER NOT NULL CHECK (typeof(quantity_drops) = 'integer' AND quantity_drops > 0),
        filled_drops INTEGER NOT NULL DEFAULT 0 CHECK (filled_drops BETWEEN 0 AND quantity_drops),
        status TEXT NOT NULL CHECK (
            status = 'SUBMITTED' OR status = 'ACTIVE' OR status = 'PARTIALLY_FILLED'
            OR status = 'FILLED' OR status = 'CANCELED' OR status = 'FAILED'),
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        submit_tx_hash TEXT,
        offer_sequence INTEGER,
        failure_reason TEXT)""",
    f"CREATE INDEX orders_live ON orders (order_row) WHERE {IS_LIVE}",
    # NULL for a fill recorded without an order: such a fill is not part of the books.
    "ALTER TABLE fills ADD COLUMN order_id TEXT REFERENCES orders (order_id)",
    "CREATE INDEX fills_order ON fills (order_id) WHERE order_id IS NOT NULL",
    # `new_balance` holds fills only, of all sessions so far; capital is never in it.
    """CREATE TABLE inventory_ledger (
        entry_id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL REFERENCES sessions (session_id),
        fill_id TEXT NOT NULL REFERENCES fills (fill_id),
        asset TEXT NOT NULL CHECK (asset IN ('XRP', 'RLUSD')),
        delta INTEGER NOT NULL CHECK (typeof(delta) = 'integer'),
        new_balance INTEGER NOT NULL CHECK (typeof(new_balance) = 'integer'),
        ts INTEGER NOT NULL,
        UNIQUE (fill_id, asset))""",
    # `amount` is signed: a withdrawal is negative. `price` is the cost basis of an initial one.
    """CREATE TABLE capital_events (
        event_id INTEGER PRIMARY KEY,
        event_key TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'initial_basis')),
        asset TEXT NOT NULL CHECK (asset IN ('XRP', 'RLUSD')),
        amount INTEGER NOT NULL CHECK (
            typeof(amount) = 'integer' AND amount <> 0 AND (kind = 'withdrawal') = (amount < 0)),
        price TEXT CHECK ((kind = 'initial_basis') = (price IS NOT NULL)),
        note TEXT NOT NULL,
        ts INTEGER NOT NULL UNIQUE)""",
    "CREATE UNIQUE INDEX capital_basis ON capital_events (asset) WHERE kind = 'initial_basis'",
    """CREATE TABLE valuation_snapshots (
        snapshot_id INTEGER PRIMARY KEY,
        snapshot_key TEXT NOT NULL UNIQUE,
        session_id INTEGER NOT NULL REFERENCES sessions (session_id),
        mid TEXT,
        xrp_drops INTEGER NOT NULL,
        rlusd_micros INTEGER NOT NULL,
        value_micros INTEGER CHECK ((value_micros IS NULL) = (mid IS NULL)),
        ts INTEGER NOT NULL)""",
    """CREATE TABLE market_snapshots (
        snapshot_id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL REFERENCES sessions (session_id),
        tick INTEGER NOT NULL,
        best_bid TEXT NOT NULL,
        best_ask TEXT NOT NULL,
        our_bid TEXT,
        our_ask TEXT,
        mid TEXT NOT NULL,
        distance_to_bid_touch_bps REAL,
        distance_to_ask_touch_bps REAL,
        within_2bps_bid INTEGER CHECK (within_2bps_bid IN (0, 1)),
        within_2bps_ask INTEGER CHECK (within_2bps_ask IN (0, 1)),
        ts INTEGER NOT NULL,
        UNIQUE (session_id, tick))""",
)
