"""The commands: `metarl/cli/NAME.py` is what `scripts/` starts."""
