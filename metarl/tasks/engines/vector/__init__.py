"""Worker processes that each step a part of the environments."""
