"""Where exhibits are played: actors in processes of their own, a ledger of what was acked, eyes on the files."""
