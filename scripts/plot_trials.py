"""Draw where an RL² agent goes in each episode of a trial, on families of a point in the plane.

python scripts/plot_trials.py RUN_DIR --tasks 4 --file trials.png
"""

from __future__ import annotations

import sys

from metarl.cli.plot_trials import main

if __name__ == "__main__":
    sys.exit(main())
