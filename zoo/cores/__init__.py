"""Latent cores: one file a core. ``core: {use: gqn}`` is ``zoo/cores/gqn.py``."""
