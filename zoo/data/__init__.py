"""Scenes in: built-in renderers, DeepMind's files, the on-disk scene store and the loader."""
