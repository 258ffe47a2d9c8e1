import numpy as np
import pytest

from zoo.comparison import comparability
from zoo.comparison.diff import diff_rows
from zoo.comparison.leaderboards import leaderboards_of, main_leaderboards
from zoo.comparison.seed_groups import SeedGroup, seed_groups
from zoo.errors import ResultError
from zoo.results.row import Metric


def noise(seed, size=40):
    return np.random.default_rng(seed).normal(0, 0.5, size)


def paired_difference(a, b, metric="nelbo_excess"):
    """The test of two rows."""
    return comparability.paired_difference(SeedGroup((a,)), SeedGroup((b,)), metric)


def changes_of(base, new):
    """The changes between two rows."""
    return diff_rows([base], [new]).pairs[0].changes


def trained(make_row, values, *, seeds=3, luck=0.05, **changes):
    """Rows of several seeds around the same values per scene."""
    shifts = np.random.default_rng(len(changes.get("variant", ""))).normal(0, luck, seeds)
    return [
        make_row(values + shift + noise(seed + 50, len(values)) / 9, seed=seed, **changes)
        for seed, shift in enumerate(shifts)
    ]


def test_unequal_keys_are_never_ranked_together(make_row, make_key, excess_of_scenes):
    changes = [
        {"sigma": 1.0},
        {"likelihood": "discretised_logistic", "sigma": None},
        {"revision": "ff"},
        {"split": "validation"},
        {"num_context": 4},
        {"num_targets": 1},
        {"episodes": "ff"},
        {"pixel_range": "[-1, 1]"},
        {"bound": "IWAE-8"},
        {"task": "localise"},
        {"image_size": 32},
        {"dataset": "mazes"},
    ]
    rows = [make_row(excess_of_scenes), *(make_row(excess_of_scenes + 1, key=make_key(**change)) for change in changes)]
    groups = leaderboards_of(rows)
    # Every entry of the key is tried.
    assert {name for change in changes for name in change} | {"num_scenes"} == set(type(rows[0].key).model_fields)
    assert [len(group.models) for group in groups] == [1] * len(rows)
    assert len({group.key for group in groups}) == len(rows)
    for row in rows[1:]:
        with pytest.raises(ResultError, match="not comparable"):
            paired_difference(rows[0], row)
    with pytest.raises(ResultError, match=r"not comparable: sigma 0\.7 against 1\.0$"):
        paired_difference(rows[0], rows[1])


def test_equal_keys_with_different_floors_are_not_ranked_together(make_row, excess_of_scenes):
    rows = [
        make_row(excess_of_scenes),
        make_row(excess_of_scenes, floor=6909.1001),
        make_row(excess_of_scenes, floor=6000.0),
    ]
    assert [len(group.models) for group in leaderboards_of(rows)] == [1, 2]
    with pytest.raises(ResultError, match=r"not comparable: floor 6909\.1 against 6000\.0"):
        paired_difference(rows[0], rows[2])


def test_lower_excess_is_first_and_failures_stand_apart(make_row, make_failure, make_key, excess_of_scenes):
    rows = [
        make_row(excess_of_scenes + 2, variant="c"),
        make_failure(key=make_key()),
        make_row(excess_of_scenes, variant="a"),
        make_row(excess_of_scenes + 1, variant="b"),
        make_failure(variant="early", status="error"),
    ]
    first, last = leaderboards_of(rows)
    assert [line.variant for line in first.models] == ["a", "b", "c"]
    assert [row.variant for row in first.failures] == ["broken"]
    assert last.key is None and not last.models and [row.variant for row in last.failures] == ["early"]


def test_the_order_of_rows_does_not_matter(make_row, make_failure, excess_of_scenes):
    rows = [make_row(excess_of_scenes + noise(seed), variant="abc"[seed % 3], seed=seed) for seed in range(6)]
    rows.append(make_failure())
    assert leaderboards_of(rows) == leaderboards_of(rows[::-1])


def test_an_importance_weighted_bound_is_ranked_by_its_own_excess(make_row, make_key, excess_of_scenes):
    def row(variant, excess, weighted):
        metrics = {
            "nelbo_excess": Metric(value=excess, n=40, unit="nats/target"),
            "iwae_8_excess": Metric(value=weighted, n=40, unit="nats/target"),
        }
        key = make_key(bound="IWAE-8")
        return make_row(excess_of_scenes, variant=variant, key=key, metrics=metrics, per_scene={})

    (group,) = leaderboards_of([row("tight", 3.0, 2.5), row("loose", 4.0, 1.0)])
    assert group.metric == "iwae_8_excess"
    assert [line.variant for line in group.models] == ["loose", "tight"]
    assert not group.decided and group.behind_best == (None,)


def test_a_clear_winner_is_decided_and_a_tie_is_not(make_row, excess_of_scenes):
    first, second = (
        trained(make_row, excess_of_scenes + noise(n) - s, variant=v) for n, s, v in [(1, 1, "a"), (2, 0, "b")]
    )
    (group,) = leaderboards_of(first + second)
    assert group.decided and group.behind_best[0].low > 0
    tie = trained(make_row, excess_of_scenes + noise(4) - 1, variant="c")
    (group,) = leaderboards_of(first + second + tie)
    assert not group.decided
    (group,) = leaderboards_of(first)
    assert not group.decided


def test_one_seed_decides_nothing_however_clear(make_row, excess_of_scenes):
    clear = trained(make_row, excess_of_scenes - 5, variant="a")
    single = make_row(excess_of_scenes + noise(1), variant="b")
    (group,) = leaderboards_of([*clear, single])
    assert not group.decided and group.behind_best[0].low > 4
    (group,) = leaderboards_of([clear[0], *trained(make_row, excess_of_scenes + noise(1), variant="b")])
    assert not group.decided
    (group,) = leaderboards_of([*clear, *trained(make_row, excess_of_scenes + noise(1), variant="b", seeds=2)])
    assert group.decided


def test_too_few_scenes_decide_nothing(make_row, excess_of_scenes):
    few = [trained(make_row, excess_of_scenes[:10] + shift, variant=variant) for variant, shift in (("a", 0), ("b", 5))]
    (group,) = leaderboards_of(few[0] + few[1])
    assert not group.decided and group.behind_best[0].low > 0
    (group,) = leaderboards_of(
        [make_row(excess_of_scenes[:1], variant="a"), make_row(excess_of_scenes[:1] + 5, variant="b")]
    )
    assert group.behind_best == (None,)


@pytest.mark.parametrize(("variants", "bounds"), [(2, (0.02, 0.085)), (4, (0.0, 0.085))])
def test_false_winners_are_rare(make_row, variants, bounds):
    generator = np.random.default_rng(11)
    trials = 200
    decided = 0
    for _ in range(trials):
        shared = generator.gamma(4.0, 3.0, 30)
        rows = [
            make_row(own + generator.normal(0, 0.1) + generator.normal(0, 0.2, 30), variant=f"v{i}", seed=seed)
            for i, own in enumerate(shared + generator.normal(0, 1, (variants, 30)))
            for seed in range(3)
        ]
        (group,) = leaderboards_of(rows)
        decided += group.decided
    assert bounds[0] <= decided / trials <= bounds[1]


def test_seeds_of_one_configuration_are_one_group(make_row, excess_of_scenes):
    rows = [make_row(excess_of_scenes + shift, seed=seed) for seed, shift in enumerate([0.0, 1.0, 2.0])]
    (group,) = seed_groups(rows)
    estimate = group.estimate("nelbo_excess")
    assert estimate.value == pytest.approx(excess_of_scenes.mean() + 1)
    assert estimate.spread == pytest.approx(1.0)
    assert group.per_scene("nelbo_excess").shape == (3, 40)


def test_other_configurations_and_repeats_are_other_groups(make_row, excess_of_scenes):
    first = make_row(excess_of_scenes)
    other = first.provenance.model_copy(update={"config_hash": "1" * 16})
    repeat = first.provenance.model_copy(update={"utc": "2026-11-22T08:00:00Z"})
    rows = [first, make_row(excess_of_scenes + 1, provenance=other), make_row(excess_of_scenes - 1, provenance=repeat)]
    assert sorted(len(line.rows) for line in seed_groups(rows)) == [1, 1, 1]
    rows.append(make_row(excess_of_scenes, seed=1))
    assert sorted(len(line.rows) for line in seed_groups(rows)) == [1, 1, 2]


def test_the_step_that_was_best_may_differ_by_seed(make_row, excess_of_scenes):
    def at(steps, seed):
        row = make_row(excess_of_scenes + seed, seed=seed)
        return row.model_copy(update={"budget": row.budget.model_copy(update={"steps": steps})})

    (group,) = seed_groups([at(778, 0), at(686, 1), at(778, 2)])
    assert [row.provenance.seed for row in group.rows] == [0, 1, 2]
    # One seed measured at two steps: the steps were chosen, and are not mixed.
    groups = seed_groups([at(100, 0), at(200, 0), at(200, 1), at(100, 1)])
    assert sorted([row.budget.steps for row in group.rows] for group in groups) == [[100, 100], [200, 200]]


def test_seeds_that_disagree_decide_nothing(make_row, excess_of_scenes):
    """On these scenes the difference is certain; over trainings it is not."""
    a = [
        make_row(excess_of_scenes + shift + noise(seed), variant="a", seed=seed)
        for seed, shift in enumerate([0.0, 3.0, 6.0])
    ]
    b = [
        make_row(excess_of_scenes + shift + noise(9 + seed), variant="b", seed=seed)
        for seed, shift in enumerate([1, 4, 8])
    ]
    (group,) = leaderboards_of(a + b)
    assert not group.decided and group.behind_best[0].low < 0
    (group,) = leaderboards_of([a[0], b[0]])
    assert group.behind_best[0].low > 0 and group.behind_best[0].stderr < 0.3


def test_scenes_are_matched_by_their_index(make_row, excess_of_scenes):
    shuffled = np.random.default_rng(0).permutation(40)
    base = make_row(excess_of_scenes)
    other = make_row(
        excess_of_scenes[shuffled] + 1,
        per_scene={"scene": shuffled.tolist(), "nelbo_excess": (excess_of_scenes[shuffled] + 1).tolist()},
    )
    found = paired_difference(other, base)
    assert found.mean == pytest.approx(1.0, abs=1e-5) and found.stderr < 1e-5
    strange = make_row(
        excess_of_scenes, per_scene={"scene": list(range(1, 41)), "nelbo_excess": excess_of_scenes.tolist()}
    )
    with pytest.raises(ResultError, match="different scenes"):
        paired_difference(base, strange)


def test_values_per_scene_must_be_there(make_row, excess_of_scenes):
    with pytest.raises(ResultError, match="no 'nelbo_exces' per scene; did you mean 'nelbo_excess'"):
        paired_difference(make_row(excess_of_scenes), make_row(excess_of_scenes), "nelbo_exces")


def test_changes_have_delta_percent_interval_and_verdict(make_row, excess_of_scenes):
    deltas = {
        delta.name: delta
        for delta in changes_of(make_row(excess_of_scenes), make_row(excess_of_scenes - 1 + noise(2), speed=90.0))
    }
    excess = deltas["nelbo_excess"]
    assert excess.verdict == "better" and excess.delta == pytest.approx(-1 + noise(2).mean())
    assert excess.percent == pytest.approx(100 * excess.delta / excess_of_scenes.mean())
    assert excess.difference.low < excess.delta < excess.difference.high < 0
    assert deltas["nelbo"].percent is None and deltas["psnr"].percent is None
    assert deltas["nelbo"].verdict == "undecided"
    speed = deltas["train_scenes_per_second"]
    assert speed.verdict == "worse" and speed.percent == pytest.approx(-10)


def test_pairs_do_not_compare_speeds_of_different_machines(make_row, excess_of_scenes):
    names = [delta.name for delta in changes_of(make_row(excess_of_scenes), make_row(excess_of_scenes, cpu="Xeon"))]
    assert "nelbo_excess" in names and "train_scenes_per_second" not in names


def test_pairs_refuse_failures_and_other_keys(make_row, make_failure, make_key, excess_of_scenes):
    with pytest.raises(ResultError, match=r"has the status 'oom' \(out of memory\)"):
        changes_of(make_row(excess_of_scenes), make_failure())
    with pytest.raises(ResultError, match="sigma"):
        changes_of(make_row(excess_of_scenes), make_row(excess_of_scenes, key=make_key(sigma=1.0)))


def test_the_main_leaderboards_have_the_most_context_views(make_row, make_key, excess_of_scenes):
    keys = [make_key(num_context=views, episodes=f"{views:016x}") for views in (1, 3, 12)]
    keys += [make_key(dataset="mazes", num_context=2), make_key(sigma=1.0, num_context=1)]
    boards = leaderboards_of([make_row(excess_of_scenes, key=key) for key in keys])
    main = main_leaderboards(boards)
    assert len(boards) == 5
    assert sorted((b.key.dataset, b.key.sigma, b.key.num_context) for b in main) == [
        ("mazes", 0.7, 2),
        ("rooms", 0.7, 12),
        ("rooms", 1.0, 1),
    ]


def test_data_of_another_revision_are_other_data(make_row, make_key, excess_of_scenes):
    """The same recipe rendered again may give other scenes: its results are neither ranked, paired nor diffed together."""
    old = make_row(excess_of_scenes, variant="old", key=make_key(revision="0" * 16))
    new = make_row(excess_of_scenes - 5, variant="new", key=make_key(revision="1" * 16))
    assert [[model.variant for model in board.models] for board in leaderboards_of([old, new])] == [["old"], ["new"]]
    with pytest.raises(ResultError, match="not comparable: revision 0000000000000000 against 1111111111111111"):
        changes_of(old, new)


def test_metrics_of_different_numbers_of_samples_are_not_compared(make_row, excess_of_scenes):
    def row(samples, **options):
        made = make_row(excess_of_scenes, **options)
        psnr = made.metrics["psnr"].model_copy(update={"unit": f"dB, {samples} samples"})
        per_scene = made.per_scene | {"psnr": (30 - excess_of_scenes / 10).tolist()}
        return made.model_copy(update={"metrics": made.metrics | {"psnr": psnr}, "per_scene": per_scene})

    few, many = row(1, variant="few"), row(10, variant="many")
    with pytest.raises(
        comparability.NotComparableError, match="'few' and 'many' cannot be ranked together: psnr in 'dB, 1 samples'"
    ):
        leaderboards_of([few, many], sort="psnr")
    (board,) = leaderboards_of([few, many])
    with pytest.raises(
        comparability.NotComparableError, match="psnr in 'dB, 1 samples' against psnr in 'dB, 10 samples'"
    ):
        comparability.paired_difference(*board.models, "psnr")
    with pytest.raises(
        comparability.NotComparableError, match="psnr in 'dB, 1 samples' against nelbo_excess in 'nats/target'"
    ):
        comparability.difference_of(board.models[0], board.models[0], "psnr", "nelbo_excess")
    assert "psnr" not in {change.name for change in changes_of(few, many)}
    (group,) = seed_groups([row(1), row(10, seed=1)])
    assert group.estimate("psnr") is None and group.estimate("nelbo_excess") is not None
