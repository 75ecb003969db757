"""From evidence to a decision: policy, and statistics with intervals."""
