"""What all tests share."""

import sys
from pathlib import Path

import torch

# `python scripts/NAME.py` finds its neighbours beside it; so do tests that import a script.
sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

torch.set_num_threads(1)  # tiny tensors: more threads would only wait for each other
