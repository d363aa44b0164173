"""The adaptation curve of a finished or running run on tasks of a split.

python scripts/evaluate_metarl.py RUN_DIR --split test --tasks 200
"""

from __future__ import annotations

import sys

from metarl.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
