import numpy as np
import pytest

from zoo.comparison.diff import diff_rows
from zoo.comparison.diff_tables import tables_of_diff
from zoo.comparison.thresholds import Threshold, violations
from zoo.errors import ResultError
from zoo.results.row import Metric


def noisy(excess_of_scenes, seed, shift=0.0):
    return excess_of_scenes + shift + np.random.default_rng(seed).normal(0, 0.5, len(excess_of_scenes))


@pytest.fixture
def sides(make_row, excess_of_scenes):
    """Three variants before and after: ``a`` got better by 2, ``b`` is as it was, ``c`` got worse by 2."""
    base = [make_row(noisy(excess_of_scenes, i), variant=name) for i, name in enumerate("abc")]
    shifts = {"a": -2.0, "b": 0.0, "c": 2.0}
    new = [
        make_row(noisy(excess_of_scenes, 9 + i, shifts[name]), variant=name, speed=98.0) for i, name in enumerate("abc")
    ]
    return base, new


def verdicts(changes, name="nelbo_excess"):
    return {pair.new.variant: delta.verdict for pair in changes.pairs for delta in pair.changes if delta.name == name}


def test_results_are_matched_and_judged(sides):
    base, new = sides
    changes = diff_rows(base, new[::-1])
    assert verdicts(changes) == {"a": "better", "b": "undecided", "c": "worse"}
    assert not changes.remarks and not changes.failures


def test_results_of_one_side_only_are_reported(sides, make_row, make_key, make_failure, excess_of_scenes):
    base, new = sides
    other = make_row(excess_of_scenes, variant="c", key=make_key(sigma=1.0))
    changes = diff_rows(base, [new[0], other, make_row(excess_of_scenes, variant="new"), make_failure(variant="b")])
    assert [pair.new.variant for pair in changes.pairs] == ["a"]
    assert changes.remarks == (
        "c was not compared: sigma 0.7 against 1.0.",
        "Only on the base: b.",
        "Only on the new side: new.",
    )
    assert [row.variant for row in changes.failures] == ["b"]
    table = tables_of_diff(changes)[-1]
    assert table.failures.frame["variant"].tolist() == ["b"] and changes.remarks[0] in table.notes


def test_configurations_are_told_apart_and_one_changed_one_is_matched(make_row, excess_of_scenes):
    def row(digest, shift, seed):
        made = make_row(noisy(excess_of_scenes, seed, shift))
        return make_row(
            noisy(excess_of_scenes, seed, shift),
            provenance=made.provenance.model_copy(update={"config_hash": digest * 16}),
        )

    changes = diff_rows([row("1", 0, 0), row("2", 3, 1)], [row("2", 3, 2), row("3", 5, 3)])
    found = [
        (pair.base.first.provenance.config_hash[0], pair.new.first.provenance.config_hash[0]) for pair in changes.pairs
    ]
    assert sorted(found) == [("1", "3"), ("2", "2")]
    with pytest.raises(ResultError, match="several results on one side"):
        diff_rows([row("1", 0, 0), row("2", 3, 1)], [row("3", 0, 2)])


def test_unlike_rows_are_refused_with_the_key_and_both_values(sides, make_row, make_key, excess_of_scenes):
    base, _ = sides
    new = [make_row(excess_of_scenes, variant=name, key=make_key(sigma=1.0, num_context=5)) for name in "abc"]
    with pytest.raises(ResultError, match=r"not comparable: num_context 3 against 5, sigma 0\.7 against 1\.0$"):
        diff_rows(base, new)
    with pytest.raises(ResultError, match="no variant is on both sides: the base has a, b, c, the new side x, y"):
        diff_rows(base, [make_row(excess_of_scenes, variant="x"), make_row(excess_of_scenes, variant="y")])
    with pytest.raises(ResultError, match=r"floor 6909\.1 against 6000"):
        diff_rows(base, [make_row(excess_of_scenes, variant=name, floor=6000.0) for name in "abc"])


def test_a_side_of_failures_is_refused(sides, make_failure):
    with pytest.raises(ResultError, match=r"on the new side: 'broken' has the status 'oom' \(out of memory\)"):
        diff_rows(sides[0], [make_failure()])


def test_verdicts_are_corrected_for_the_number_of_pairs(make_row, excess_of_scenes):
    """One pair out of thirty at p = 0.02 is not significant; alone it is."""
    generator = np.random.default_rng(3)
    base = [make_row(excess_of_scenes, variant=f"v{i}") for i in range(30)]
    change = generator.normal(0, 1, 40)
    change = (change - change.mean()) / change.std(ddof=1)
    new = [make_row(excess_of_scenes + change, variant=f"v{i}") for i in range(29)]
    new.append(make_row(excess_of_scenes + change + 0.38, variant="v29"))
    assert verdicts(diff_rows(base, new))["v29"] == "undecided"
    assert verdicts(diff_rows(base[-1:], new[-1:]))["v29"] == "worse"


def test_tables_are_split_thinned_and_dampened(sides):
    changes = diff_rows(*sides)
    split = tables_of_diff(changes, split=True)
    assert [table.title.partition(":")[0] for table in split] == ["better", "worse", "undecided"]
    assert split[0].frame["variant"].tolist() == ["a"] and split[1].frame["variant"].tolist() == ["c"]
    (only,) = tables_of_diff(changes, only_changed=True)
    assert sorted(only.frame["variant"]) == ["a", "c"]
    assert only.frame["difference"].iloc[0].startswith("-") and only.frame["seeds"].iloc[0] == "1, 1"
    (none,) = tables_of_diff(changes, only_changed=True, factor=2.0)
    assert none.frame.empty and none.notes[0] == "Nothing has changed."
    assert "Holm's correction over 3 pairs" in none.notes[1] and "one seed" in none.notes[1]


@pytest.mark.parametrize(
    ("text", "exceeding"),
    [
        ("nelbo_excess:0.5", ["c"]),
        ("nelbo_excess:3", []),
        ("nelbo_excess:5%", ["c"]),
        ("nelbo_excess:50%", []),
        ("train_scenes_per_second:-5%", []),
        ("train_scenes_per_second:1%", []),  # 2 % slower, but the repeats spread as far
        ("psnr:0.1", ["c"]),
        ("psnr:-0.1", ["c"]),
    ],
)
def test_a_threshold_is_exceeded_by_what_is_worse_by_more(sides, text, exceeding):
    sentences = violations([Threshold.parse(text)], diff_rows(*sides))
    assert [sentence.partition(":")[0] for sentence in sentences] == exceeding


def test_a_slower_speed_exceeds_its_threshold(make_row, excess_of_scenes):
    changes = diff_rows([make_row(excess_of_scenes)], [make_row(excess_of_scenes, speed=90.0)])
    (sentence,) = violations([Threshold.parse("train_scenes_per_second:-5%")], changes)
    assert sentence == "gqn-tower: train_scenes_per_second is worse by 10% (100 to 90), more than 5%"


def test_noise_exceeds_no_threshold_but_without_a_test_the_change_decides(make_row, excess_of_scenes):
    wide = np.random.default_rng(2).normal(0, 8, 40)
    wide += 1.0 - wide.mean()
    changes = diff_rows([make_row(excess_of_scenes)], [make_row(excess_of_scenes + wide)])
    assert violations([Threshold.parse("nelbo_excess:0.5")], changes) == []
    blind = diff_rows([make_row(excess_of_scenes, per_scene={})], [make_row(excess_of_scenes + 1, per_scene={})])
    assert len(violations([Threshold.parse("nelbo_excess:0.5")], blind)) == 1


def test_a_failed_row_exceeds_every_threshold(sides, make_failure, make_key):
    base, new = sides
    changes = diff_rows(base, [*new[:2], make_failure(variant="c", key=make_key())])
    assert violations([Threshold.parse("nelbo_excess:9")], changes) == ["c: oom (out of memory)"]
    assert violations([], changes) == []


def test_a_failure_of_a_job_that_succeeded_later_is_none(sides, make_failure, make_key):
    base, new = sides
    failure = make_failure(variant="c", key=make_key())
    provenance = failure.provenance.model_copy(update={"utc": "2026-11-20T08:00:00Z"})
    changes = diff_rows(base, [*new, failure.model_copy(update={"provenance": provenance})])
    assert not changes.failures and violations([Threshold.parse("nelbo_excess:9")], changes) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nelbo_excess", "expected METRIC:AMOUNT"),
        ("nelbo_excess:x", "expected METRIC:AMOUNT"),
        ("nelbo:5%", "zero is no natural origin of nelbo"),
        ("nelbo_exces:1", "'nelbo_exces' was not compared; did you mean 'nelbo_excess'"),
        ("nelbo_excess:-1", "lower nelbo_excess is better"),
        ("floor:1", "neither direction of floor is better"),
    ],
)
def test_meaningless_thresholds_are_refused(sides, text, message):
    with pytest.raises(ResultError, match=message):
        violations([Threshold.parse(text)], diff_rows(*sides))


def test_speeds_of_different_machines_are_refused_with_both(make_row, excess_of_scenes):
    changes = diff_rows([make_row(excess_of_scenes)], [make_row(excess_of_scenes, cpu="Xeon")])
    with pytest.raises(ResultError, match=r"measured on EPYC, 2 threads \(cpu\) against Xeon, 2 threads \(cpu\)"):
        violations([Threshold.parse("train_scenes_per_second:5%")], changes)


def test_of_another_likelihood_only_the_code_length_is_compared(make_row, make_key, excess_of_scenes):
    def row(name, bits, seed, **key):
        made = make_row(noisy(excess_of_scenes, seed), variant=name, key=make_key(**key))
        values = (bits + excess_of_scenes / 100 + np.random.default_rng(seed).normal(0, 0.01, 40)).tolist()
        metric = Metric(value=sum(values) / 40, n=40, unit="bits/dim", higher_is_better=False)
        return make_row(
            noisy(excess_of_scenes, seed),
            variant=name,
            key=make_key(**key),
            metrics=made.metrics | {"bits_per_dim": metric},
            per_scene=made.per_scene | {"bits_per_dim": values},
        )

    base = [row("a", 3.0, 0), row("b", 3.0, 1)]
    new = [row("a", 3.2, 2, likelihood="discretised_logistic", sigma=None), row("b", 3.0, 3)]
    changes = diff_rows(base, new)
    found = {pair.new.variant: {delta.name for delta in pair.changes} for pair in changes.pairs}
    speeds = {"train_scenes_per_second", "predict_images_per_second"}
    assert found["a"] == {"bits_per_dim"} | speeds and {"nelbo_excess", "bits_per_dim"} <= found["b"]
    assert verdicts(changes, "bits_per_dim") == {"a": "worse", "b": "undecided"}
    assert "Of a only the lossless code length was compared: likelihood annealed_gaussian" in changes.remarks[0]
    titles = [table.title for table in tables_of_diff(changes)]
    assert sum("8-bit values" in title for title in titles) == 1 and len(titles) == 2
    (sentence,) = violations([Threshold.parse("bits_per_dim:0.01")], changes)
    assert sentence.startswith("a: bits_per_dim is worse by 0.")
    assert not violations([Threshold.parse("bits_per_dim:0.5")], changes)
    with pytest.raises(ResultError, match="not comparable: num_context 3 against 4"):
        diff_rows(base[:1], [row("a", 3.0, 4, num_context=4)])


def test_a_speed_is_that_of_all_seeds(make_row, excess_of_scenes):
    def side(*speeds):
        return [make_row(excess_of_scenes, seed=seed, speed=speed) for seed, speed in enumerate(speeds)]

    changes = diff_rows(side(100, 100), side(80, 120))
    (change,) = [each for each in changes.pairs[0].changes if each.name == "train_scenes_per_second"]
    assert (change.base, change.new, change.verdict) == (100, 100, "undecided")
    assert verdicts(diff_rows(side(100, 100), side(90, 92)), "train_scenes_per_second") == {"gqn-tower": "worse"}
