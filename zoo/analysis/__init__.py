"""Analyses of trained models and tests of what the papers claim: one file per analysis."""
