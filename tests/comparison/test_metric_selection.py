"""Which metrics stand where, tables ranked by another metric, and failures that were made good."""

import pytest

from zoo.comparison.columns import OTHERS, columns_of
from zoo.comparison.failures import without_superseded
from zoo.comparison.leaderboards import leaderboards_of
from zoo.comparison.metric_selection import all_but_images, image_metrics, main_metrics, require_columns, require_metric
from zoo.comparison.table_rows import image_table_of, table_of
from zoo.comparison.tables import tables_of
from zoo.errors import ResultError
from zoo.report.page import page_of
from zoo.results.metrics import metric_info
from zoo.results.row import Metric

MEASURES = ("mae_255", "rmse_255", "psnr", "ssim", "mse")


@pytest.fixture
def full_row(make_row, make_key, excess_of_scenes):
    """A row with every metric that an evaluation writes."""
    names = ["kl", "distortion", "separate_nelbo_excess", "wrong_context_nelbo_excess", "log_likelihood"]
    names += [f"iwae_{samples}{part}" for samples in (10, 100) for part in ("", "_excess", "_gap")]
    names += [f"{m}{of}" for m in MEASURES for of in ("", "_one", "_best")]
    names += [*(f"reconstruction_{m}" for m in MEASURES), "sample_variance", "code_sigma", "bits_per_dim"]

    def make(targets=2, **changes):
        row = make_row(excess_of_scenes)
        metrics = {name: Metric(value=2.0, n=40, unit="nats/target", higher_is_better=False) for name in names}
        key = make_key(num_targets=targets)
        return make_row(excess_of_scenes, key=key, **{"metrics": metrics | row.metrics, **changes})

    return make


def test_the_main_table_shows_what_is_needed_and_the_page_all(full_row):
    group = leaderboards_of([full_row()])[0]
    main = main_metrics(group)
    assert main == [
        *("nelbo_excess", "separate_nelbo_excess", "nelbo", "kl", "distortion", "iwae_100_excess", "iwae_100_gap"),
        *("mae_255", "rmse_255", "psnr", "ssim", "wrong_context_nelbo_excess"),
    ]
    page = {*all_but_images(group), *(name for name, _, _ in image_metrics(group)), "sample_variance"}
    measured = {name for row in group.models[0].rows for name in row.metrics}
    assert page == measured - {"floor", "bits_per_dim", "code_sigma"}
    assert "separate_nelbo_excess" not in main_metrics(leaderboards_of([full_row(targets=1)])[0])
    assert main_metrics(leaderboards_of([full_row()])[1]) == ["code_sigma", "kl"]


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
    assert page.count("Images of table 1</h4>") == 1 and "Images of table 2" not in page


def test_heads_name_what_a_measure_is_of():
    assert metric_info("psnr_best").head == "PSNR of best (dB) ↑"
    assert metric_info("reconstruction_rmse_255").head == "RMSE of reconstruction (0-255) ↓"
    assert metric_info("iwae_100_gap").head == "IWAE-100 gap" and metric_info("iwae_10").head == "IWAE-10 ↓"
    assert metric_info("separate_nelbo_excess").head == "separate excess NELBO ↓"


def test_columns_are_chosen_by_name_in_their_order(full_row):
    group = leaderboards_of([full_row()])[0]
    frame = table_of(group, columns=["psnr_one", "kl", "commit", "nelbo_excess"]).frame
    assert list(frame.columns) == ["variant", "excess NELBO ↓ ±", "PSNR of one (dB) ↑", "KL", "commit"]
    assert {column.name for column in columns_of(group, metrics=[])} == {"variant", "rank", "behind_best", *OTHERS}
    require_columns([full_row()], ["psnr_one", "seed"], others=OTHERS)
    with pytest.raises(ResultError, match="--columns psnr_on: no row has this metric; did you mean 'psnr_one'"):
        require_columns([full_row()], ["psnr_on"], others=OTHERS)


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
    (group,) = leaderboards_of(rows, sort="psnr")
    assert [line.variant for line in group.models] == ["high", "low"] and group.higher_is_better and group.decided
    table = table_of(group)
    assert table.bold == "PSNR (dB) ↑ ±" and table.frame["behind the best [95%]"].iloc[1].startswith("3.0")
    assert table.frame["on the frontier of"].tolist() == ["time, parameters, latency, memory", "none"]
    assert any("ranked by PSNR, higher is better" in note for note in table.notes)
    assert leaderboards_of(rows, sort="ssim")[0].metric == "nelbo_excess"  # nobody has it
    with pytest.raises(ResultError, match="--sort psn: no row has this metric; did you mean 'psnr'"):
        require_metric(rows, "psn")
    with pytest.raises(ResultError, match="--sort floor: neither more nor less of it is better"):
        require_metric(rows, "floor")


def moved(row, *, utc, job=None):
    return row.model_copy(update={"provenance": row.provenance.model_copy(update={"utc": utc, "job": job})})


EARLY, LATE = "2026-11-21T08:00:00Z", "2026-11-22T08:00:00Z"
JOB, OTHER_JOB = "0123456789abcdef", "fedcba9876543210"


def test_a_failure_that_was_made_good_is_dropped(make_row, make_failure, make_key, excess_of_scenes):
    failure = moved(make_failure(variant="vae"), utc=EARLY, job=JOB)
    again = moved(make_row(excess_of_scenes, variant="vae"), utc=LATE, job=JOB)
    assert without_superseded([failure, again]) == [again]
    assert not leaderboards_of([failure, again])[0].failures and len(tables_of([again, failure])) == 1
    assert "None: every row is of a measurement that came out." in page_of([failure, again])
    keyed = moved(make_failure(variant="vae", key=make_key()), utc=EARLY)
    assert without_superseded([keyed, again]) == [again]


def test_a_failure_that_may_be_another_one_stays(make_row, make_failure, make_key, excess_of_scenes):
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
