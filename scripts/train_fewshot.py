"""Meta-train a few-shot learner on tasks made of data.

python scripts/train_fewshot.py --data sinusoid --algo maml
python scripts/train_fewshot.py --resume RUN_DIR --iterations 100000
"""

from __future__ import annotations

import sys

from metarl.cli.train_few_shot import main

if __name__ == "__main__":
    sys.exit(main())
