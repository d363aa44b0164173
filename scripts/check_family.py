"""Does a family of tasks obey what meta-learning needs? A verdict per rule, and what to do.

python scripts/check_family.py my_module:my_family
python scripts/check_family.py CartPole-v1 --vary "length=uniform(0.25,1)"
"""

from __future__ import annotations

import sys

from metarl.cli.check_family import main

if __name__ == "__main__":
    sys.exit(main())
