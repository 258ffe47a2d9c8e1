"""The benchmark suite: grids of variants, data sets, seeds and budgets, carried out job by job."""
