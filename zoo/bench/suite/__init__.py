"""Benchmark suites: grids of variants, data sets, seeds and budgets, run job by job."""
