"""Built-in scenes: procedural rooms and Shepard-Metzler objects, and the ray-caster that takes their pictures.

``recipes`` holds the catalogue; ``scene`` and ``raycaster`` render a scene of one's own.
"""
