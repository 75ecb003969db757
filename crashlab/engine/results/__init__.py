"""Results on disk: a campaign's records, read, appended to and resumed."""
