"""Scene factors: what a built-in data set drew, as documents of plain JSON values, and scenes made from such documents.

One module per kind of scene holds its schema and converts both ways; ``parsing`` reads documents and files of them,
``rendering`` renders one, ``hold_out`` keeps combinations of values out of the training data.
"""
