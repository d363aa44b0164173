"""How well a few-shot run does on tasks that it has not trained on.

python scripts/evaluate_fewshot.py RUN_DIR --tasks 10000 --shots 5 --baselines
"""

from __future__ import annotations

import sys

from metarl.cli.evaluate_few_shot import main

if __name__ == "__main__":
    sys.exit(main())
