"""Latent cores, one per file: ``core: {use: gqn}`` is ``zoo/cores/gqn.py``."""
