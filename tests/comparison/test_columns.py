"""The columns of tables, tables ranked by another metric, and failures that were superseded."""

import pytest

from zoo.comparison.columns import OTHERS, columns_of, require_columns
from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.seed_groups import without_superseded
from zoo.comparison.tables import image_table_of, table_of, tables_of
from zoo.errors import ResultError
from zoo.report.page import page_of
from zoo.results.row import Metric

IMAGE_METRICS = ("mae_255", "rmse_255", "psnr", "ssim", "mse")


@pytest.fixture
def full_row(make_row, make_key, excess_of_scenes):
    """A row with every metric that an evaluation writes."""
    names = ["kl", "distortion", "separate_nelbo_excess", "wrong_context_nelbo_excess", "log_likelihood"]
    names += [f"iwae_{samples}{part}" for samples in (10, 100) for part in ("", "_excess", "_gap")]
    names += [f"{m}{of}" for m in IMAGE_METRICS for of in ("", "_one", "_best")]
    names += [*(f"reconstruction_{m}" for m in IMAGE_METRICS), "sample_variance", "code_sigma", "bits_per_dim"]

    def make(targets=2, **changes):
        row = make_row(excess_of_scenes)
        metrics = {name: Metric(value=2.0, n=40, unit="nats/target", higher_is_better=False) for name in names}
        key = make_key(num_targets=targets)
        return make_row(excess_of_scenes, key=key, **{"metrics": metrics | row.metrics, **changes})

    return make


def names_of(board, selection, **options):
    return [column.name for column in columns_of(board, selection, **options)]


def test_the_compact_table_has_the_columns_of_a_leaderboard(full_row):
    bounds, code_lengths = leaderboards_of([full_row()])
    head, tail = ["rank", "variant", "metric", "interval"], ["parameters", "train_scenes_per_second", "seeds"]
    assert names_of(bounds, "compact") == [*head, "kl", "psnr", "ssim", *tail]
    assert names_of(code_lengths, "compact") == [*head, "kl", "code_sigma", *tail]
    assert names_of(bounds, "compact", extra=["pareto"])[-1] == "pareto"


def test_the_wide_table_and_the_table_of_images_have_every_metric(full_row):
    board = leaderboards_of([full_row()])[0]
    names = names_of(board, "wide")
    metrics = [name for name in names if name in board.models[0].first.metrics]
    assert metrics[:9] == [
        *("separate_nelbo_excess", "nelbo", "kl", "distortion", "iwae_100_excess", "iwae_10_excess"),
        *("iwae_100_gap", "iwae_10_gap", "iwae_100"),
    ]
    assert {"rank", "variant", "metric", "behind_best", "pareto", "encoder", "commit"} <= set(names)
    image_columns = set(image_table_of(board).frame.columns)
    assert len(image_columns) == 1 + 4 * len(IMAGE_METRICS) + 1
    shown = set(metrics) | {"nelbo_excess"}
    assert board.models[0].first.metrics.keys() - shown == {
        *("floor", "bits_per_dim", "code_sigma", "sample_variance", "mse"),
        *(f"{name}{of}" for name in IMAGE_METRICS for of in ("_one", "_best")),
        *(f"reconstruction_{name}" for name in IMAGE_METRICS),
    }
    assert "separate_nelbo_excess" not in names_of(leaderboards_of([full_row(targets=1)])[0], "wide")


def test_images_have_a_table_of_their_own(full_row, make_row, excess_of_scenes):
    table = image_table_of(leaderboards_of([full_row()])[0])
    assert list(table.frame.columns[:5]) == [
        "variant",
        "MAE of one (0-255) ↓",
        "MAE of mean (0-255) ↓",
        "MAE of best (0-255) ↓",
        "MAE of reconstruction (0-255) ↓",
    ]
    assert image_table_of(leaderboards_of([make_row(excess_of_scenes)])[0]) is None
    assert image_table_of(leaderboards_of([full_row()])[1]) is None
    page = page_of([full_row()])
    assert page.count("<summary>Image metrics of table 1") == 1 and "Image metrics of table 2" not in page


def test_columns_are_chosen_by_name_in_their_order(full_row):
    board = leaderboards_of([full_row()])[0]
    frame = table_of(board, columns=["psnr_one", "kl", "commit", "nelbo_excess"]).frame
    assert list(frame.columns) == ["#", "variant", "excess NELBO ↓", "PSNR of one (dB) ↑", "KL", "commit"]
    assert set(OTHERS) <= set(names_of(board, OTHERS))
    require_columns([full_row()], ["psnr_one", "seeds"])
    with pytest.raises(ResultError, match="--columns psnr_on: no row has this metric; did you mean 'psnr_one'"):
        require_columns([full_row()], ["psnr_on"])


def test_a_size_that_all_models_have_is_in_the_title(make_row, excess_of_scenes):
    def table(*variants, **options):
        rows = [make_row(excess_of_scenes + place, variant=variant) for place, variant in enumerate(variants)]
        return table_of(leaderboards_of(rows)[0], **options)

    same = table("a@smoke", "b@smoke")
    assert same.title.endswith(", size smoke") and same.frame["variant"].tolist() == ["a", "b"]
    assert table("a@smoke", "b@smoke", columns="wide").frame["variant"].tolist() == ["a@smoke", "b@smoke"]
    mixed = table("a@smoke", "b")
    assert "smoke" not in mixed.title and mixed.frame["variant"].tolist() == ["a@smoke", "b"]


def test_sorting_turns_with_the_better_direction(make_row, excess_of_scenes):
    def row(variant, psnr, seed):
        base = make_row(excess_of_scenes, variant=variant, seed=seed)
        values = (psnr + excess_of_scenes / 10 + 0.01 * seed).tolist()
        metric = Metric(value=sum(values) / 40, n=40, unit="dB", higher_is_better=True)
        per_scene = base.per_scene | {"psnr": values}
        return make_row(
            excess_of_scenes, variant=variant, seed=seed, metrics=base.metrics | {"psnr": metric}, per_scene=per_scene
        )

    rows = [row(name, psnr, seed) for name, psnr in (("low", 18.0), ("high", 21.0)) for seed in range(3)]
    (board,) = leaderboards_of(rows, sort="psnr")
    assert [model.variant for model in board.models] == ["high", "low"] and board.higher_is_better and board.decided
    table = table_of(board, columns="wide")
    assert table.bold == "PSNR (dB) ↑" and table.frame["behind the best [95%]"].iloc[1].startswith("3.0")
    assert table.frame["on the Pareto front of"].tolist() == ["time, parameters, latency, memory", "none"]
    assert "Ranked by PSNR, higher is better." in table.notes
    assert leaderboards_of(rows, sort="nelbo")[0].metric == "nelbo"
    with pytest.raises(ResultError, match="--sort psn: no row has this metric; did you mean 'psnr'"):
        leaderboards_of(rows, sort="psn")
    with pytest.raises(ResultError, match="--sort floor: neither direction of it is better"):
        leaderboards_of(rows, sort="floor")


def moved(row, *, utc, job=None):
    return row.model_copy(update={"provenance": row.provenance.model_copy(update={"utc": utc, "job": job})})


EARLY, LATE = "2026-11-21T08:00:00Z", "2026-11-22T08:00:00Z"
JOB, OTHER_JOB = "0123456789abcdef", "fedcba9876543210"


def test_superseded_failures_are_dropped(make_row, make_failure, make_key, excess_of_scenes):
    failure = moved(make_failure(variant="vae"), utc=EARLY, job=JOB)
    again = moved(make_row(excess_of_scenes, variant="vae"), utc=LATE, job=JOB)
    assert without_superseded([failure, again]) == [again]
    boards = leaderboards_of([again, failure])
    assert not boards[0].failures and len(tables_of(boards)) == 1
    assert "Failures" not in page_of([failure, again])
    keyed = moved(make_failure(variant="vae", key=make_key()), utc=EARLY)
    assert without_superseded([keyed, again]) == [again]


def test_failures_of_possibly_other_jobs_are_kept(make_row, make_failure, make_key, excess_of_scenes):
    failure = moved(make_failure(variant="vae"), utc=LATE, job=JOB)
    row = make_row(excess_of_scenes, variant="vae")
    later = "2026-11-23T08:00:00Z"
    for kept, other in [
        (failure, moved(row, utc=EARLY, job=JOB)),  # older
        (failure, moved(row, utc=LATE, job=JOB)),
        (failure, moved(row, utc=later, job=OTHER_JOB)),
        (failure, moved(row, utc=later)),
        (moved(make_failure(variant="vae"), utc=LATE), moved(row, utc=later, job=JOB)),
        (moved(make_failure(variant="vae"), utc=LATE), moved(row, utc=later)),
        (moved(make_failure(variant="vae", key=make_key(dataset="mazes")), utc=LATE), moved(row, utc=later)),
    ]:
        assert without_superseded([kept, other]) == [kept, other]
