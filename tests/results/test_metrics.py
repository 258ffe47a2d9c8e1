"""The table of metrics: heads, axes, units and directions."""

import numpy as np
import pytest

from zoo.results.metrics import METRICS, find_metric, metric_info, metrics_of


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("nelbo_excess", "excess NELBO ↓"),
        ("separate_nelbo_excess", "separate excess NELBO ↓"),
        ("kl", "KL"),
        ("psnr", "PSNR (dB) ↑"),
        ("psnr_best", "PSNR of best (dB) ↑"),
        ("mae_255_one", "MAE of one (0-255) ↓"),
        ("reconstruction_rmse_255", "RMSE of reconstruction (0-255) ↓"),
        ("iwae_100_gap", "IWAE-100 gap"),
        ("iwae_10", "IWAE-10 ↓"),
        ("iwae_10_excess", "excess IWAE-10 ↓"),
        ("strange", "strange ↓"),
    ],
)
def test_heads_have_title_unit_and_direction(name, head):
    assert metric_info(name).head == head


def test_axes_name_the_unit_once():
    axes = {name: metric_info(name).axis for name in ("nelbo_excess", "psnr", "ssim", "bits_per_dim", "mae_255")}
    assert list(axes.values()) == ["excess NELBO (nats/target)", "PSNR (dB)", "SSIM", "bits/dim", "MAE (0-255)"]


def test_units_name_the_number_of_samples_where_it_matters():
    def unit_of(name, samples):
        return metric_info(name).unit_with_samples(samples)

    assert unit_of("psnr", samples=8) == "dB, 8 samples"
    assert unit_of("psnr_best", samples=8) == "dB, best of 8 samples"
    assert unit_of("psnr_one", samples=8) == unit_of("reconstruction_psnr", samples=8) == "dB"
    assert unit_of("nelbo_excess", samples=8) == "nats/target"


@pytest.mark.parametrize("name", ["reconstruction_psnr_one", "psnr_one_best", "iwae_", "iwae_x", "kl_best", "perf/x"])
def test_names_outside_of_the_families_are_unknown(name):
    assert find_metric(name) is None and metric_info(name).higher_is_better is False


def test_metrics_are_means_with_standard_errors():
    values = np.array([1.0, 2.0, 6.0])
    made = metrics_of({"scene": np.arange(3.0), "ssim": values, "kl": values[:1]}, samples=2)
    assert made.keys() == {"ssim", "kl"}
    assert made["ssim"].value == pytest.approx(3.0) and made["ssim"].n == 3
    assert made["ssim"].stderr == pytest.approx(np.sqrt(7.0 / 3)) and made["ssim"].unit == "1, 2 samples"
    assert made["ssim"].higher_is_better is True and made["kl"].higher_is_better is None and made["kl"].stderr is None


def test_lower_is_better_unless_the_table_says_otherwise():
    higher = {name for name, info in METRICS.items() if info.higher_is_better}
    assert higher == {
        *(
            "psnr",
            "ssim",
            "log_likelihood",
            "joint_log_likelihood",
            "predictive_log_likelihood",
            "marginal_log_likelihood",
            "pose_log_density",
        ),
    }
