"""Images with known cameras, as reconstruction programs write them, and their import into a scene store.

``colmap`` and ``transforms`` read a folder, ``alignment`` maps its world to scene units with z up, ``reprojection``
resamples an image to the camera of :mod:`zoo.data.camera`, and ``importing`` recognises formats and writes the store.
"""
