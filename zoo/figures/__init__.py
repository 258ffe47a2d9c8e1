"""Figures made with matplotlib: curves, sheets of images, maps and Pareto fronts."""
