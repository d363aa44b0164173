"""What `bits.py` compares, and how."""
