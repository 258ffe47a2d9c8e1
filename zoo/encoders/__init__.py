"""Views -> representation: one file an encoder. ``encoder: {use: tower}`` is ``zoo/encoders/tower.py``."""
