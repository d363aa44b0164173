"""Training runs: the loop, and what it trains."""
