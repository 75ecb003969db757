"""A campaign in little data: folded from its events one by one, and what every format is drawn from."""
