"""What the papers show, shown on built-in data: one file a point; see :mod:`zoo.demonstration`."""
