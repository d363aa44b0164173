"""Definitions made of any Gymnasium environment."""
