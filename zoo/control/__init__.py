"""Representations for control: reaching with the built-in robot arm as a Gymnasium environment, and policies that learn it."""
