"""Scene factors: what a built-in data set drew, as documents of plain JSON values, and scenes made from such documents.

One module per kind of scene holds its schema and converts both ways; ``scene_factors`` is their base and keeps combinations
of values out of the training data, ``parsing`` reads documents and files of them.
"""
