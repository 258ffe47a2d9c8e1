"""p(target | prediction): one file a likelihood."""
