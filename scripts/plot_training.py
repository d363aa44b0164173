"""Draw what runs learnt while they trained: scalars of progress.csv by iteration.

python scripts/plot_training.py RUN_DIR OTHER_RUN_DIR --window 10 --file training.png
"""

from __future__ import annotations

import sys

from metarl.cli.plot_training import main

if __name__ == "__main__":
    sys.exit(main())
