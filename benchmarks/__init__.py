"""Benchmarks: speeds of every registered variant, of the loader and of the renderers."""
