"""Built-in scenes: procedural rooms and Shepard-Metzler objects, and the ray-caster that takes their images.

``recipes`` holds the catalogue; ``scene`` and ``raycaster`` render a scene of one's own.
"""
