"""What all tests share."""

import sys
from pathlib import Path

# `python scripts/NAME.py` finds its neighbours beside it; so do tests that import a script.
sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
