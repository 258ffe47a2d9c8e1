"""Tables are functions of the rows: the same bytes whenever they are made, fast enough to be made in every check."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from zoo.comparison.leaderboards import GROUP_FIELDS, leaderboards_of
from zoo.comparison.tables import tables_of, write_tables
from zoo.results.row import Metric, ModelFacts
from zoo.results.store import load_rows, save_row

ROOT = Path(__file__).resolve().parents[2]
SCENES, VARIANTS, SEEDS, CONTEXTS = 400, 51, 3, (0, 1, 4)
BOUNDS = ("nelbo_excess", "nelbo", "kl", "log_likelihood", "distortion", "bits_per_dim", "separate_nelbo_excess")
WEIGHTED = [f"iwae_{samples}{part}" for samples in (10, 100) for part in ("", "_excess", "_gap")]
MEASURES = ("mse", "mae_255", "rmse_255", "psnr", "ssim")
IMAGES = [name for m in MEASURES for name in (m, f"{m}_one", f"{m}_best", f"reconstruction_{m}")]
METRICS = (*BOUNDS, *WEIGHTED, *IMAGES, "sample_variance", "wrong_context_nelbo_excess")


@pytest.fixture
def grid(tmp_path, make_row, make_key):
    """Rows of every variant at three numbers of context views with three seeds, and baselines, as a suite writes them."""
    generator = np.random.default_rng(0)
    for views in CONTEXTS:
        scenes = generator.gamma(4.0, 3.0, SCENES)
        key = make_key(num_scenes=SCENES, num_context=views)
        jobs = [(f"v{variant:02d}", 0.3 * variant, seed) for variant in range(VARIANTS) for seed in range(SEEDS)]
        for name, shift, seed in [*jobs, ("mean-image", 20.0, 0), ("nearest-view", 14.0, 0)]:
            values = scenes + shift + generator.normal(0, 0.3) + generator.normal(0, 2, SCENES)
            metric = Metric(value=float(values.mean()), n=SCENES, unit="nats/target", higher_is_better=False)
            row = make_row(
                values,
                variant=name,
                seed=seed,
                key=key,
                metrics=dict.fromkeys(METRICS, metric),
                per_scene={"scene": list(range(SCENES))} | dict.fromkeys(METRICS, values.tolist()),
                model=ModelFacts(parameters=0 if "-" in name else 10**6),
            )
            save_row(row, tmp_path / "grid" / "rows")
    return tmp_path / "grid"


def test_the_grid_is_rebuilt_byte_for_byte_within_ten_seconds_of_one_core(grid, tmp_path):
    start = time.process_time()
    rows = load_rows([grid])
    first = write_tables(leaderboards_of(rows), tmp_path / "first")
    assert time.process_time() - start < 10
    assert len(rows) == len(CONTEXTS) * (VARIANTS * SEEDS + 2)
    random.Random(0).shuffle(rows)
    for path, again in zip(first, write_tables(leaderboards_of(rows), tmp_path / "again"), strict=True):
        assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("folder", ["results", "results/quickstart"])
def test_the_committed_tables_are_those_of_the_committed_rows(tmp_path, folder):
    """If this fails: gqn-zoo compare FOLDER -o FOLDER/tables."""
    for path in write_tables(leaderboards_of(load_rows([ROOT / folder])), tmp_path):
        assert path.read_bytes() == (ROOT / folder / "tables" / path.name).read_bytes(), f"{path.name} is stale"


def test_sections_hold_what_they_say(make_row, make_key, excess_of_scenes):
    rows = [
        make_row(excess_of_scenes + views, variant=f"{core}{views}", core=core, key=make_key(num_context=views))
        for views in (10, 2)
        for core in ("gqn", "cgqn")
    ]
    titles = [
        table.title.partition(": ")[0] for table in tables_of(leaderboards_of(rows, group_by=["contexts", "core"]))
    ]
    assert titles == [f"contexts {views}, core {core}" for views in (2, 10) for core in ("cgqn", "gqn")]
    assert [len(table.frame) for table in tables_of(leaderboards_of(rows, group_by=["core"]))] == [1, 1, 1, 1]
    assert [len(table.frame) for table in tables_of(leaderboards_of(rows))] == [2, 2]
    for name in GROUP_FIELDS:
        assert sum(len(table.frame) for table in tables_of(leaderboards_of(rows, group_by=[name]))) == 4


def test_failures_before_an_evaluation_have_an_unknown_section(make_row, make_failure, excess_of_scenes):
    tables = tables_of(leaderboards_of([make_failure(), make_row(excess_of_scenes)], group_by=["data"]))
    assert [table.title.partition(":")[0] for table in tables] == ["data rooms", "data unknown"]
