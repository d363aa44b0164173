"""Policies, returns, losses and rollouts of meta-reinforcement learning."""
