"""MAML-TRPO (arXiv 1703.03400, section 4.3)."""
