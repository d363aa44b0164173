"""Adaptation and trust-region mathematics on trees of tensors; imports torch only."""
