"""Meta-train an agent on a family of tasks.

python scripts/train_metarl.py --env half-cheetah-vel
python scripts/train_metarl.py --env point-nav --preset finn2017 --seed 1
python scripts/train_metarl.py --env Pendulum-v1 --vary "g=uniform(6,14)"
python scripts/train_metarl.py --env bandit-k5 --algo rl2
python scripts/train_metarl.py --resume RUN_DIR --iterations 600
"""

from __future__ import annotations

import sys

from metarl.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
