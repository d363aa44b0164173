"""The command line; the only place where families, algorithms and runs are wired together."""
