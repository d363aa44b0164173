"""Runs on disk: configuration, logs, checkpoints and counted seeds. Knows no algorithm."""
