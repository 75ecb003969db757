"""Running trials and campaigns, and telling everybody who listens."""
