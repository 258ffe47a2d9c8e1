"""Images with known cameras, as reconstruction programs write them, and their import into a scene store.

``recognition`` reads a folder as a capture, ``alignment`` maps its world to scene units with z up, ``reprojection``
resamples an image to the camera of :mod:`zoo.data.camera`, and ``importing`` writes the store.
"""
