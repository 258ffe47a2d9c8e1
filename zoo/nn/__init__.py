"""Blocks that know nothing of scenes."""
