"""Strict settings, training recipes and schedules."""
