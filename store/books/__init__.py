"""The books of a trading session: orders, fills, inventory, capital, markets, halts.

Each module adds one part to `StateManager`; the public names are in `store`. This package imports nothing
here, so that `store.sessions` can build on parts of it.

Money is exact: amounts are integers of the smallest unit, prices are decimal text. No float is ever summed.
"""
