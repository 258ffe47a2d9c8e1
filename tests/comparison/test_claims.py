"""Verdicts on claims: from rows that support them, refute them, are too few, or may not be compared."""

import numpy as np
import pytest

from zoo.comparison.claim_file import Claim, Claims, DataChoice
from zoo.comparison.claim_tables import claim_records, table_of_claims
from zoo.comparison.claims import judge_claims
from zoo.comparison.statistics import ALPHA, holm, holm_adjusted
from zoo.config.settings import parse
from zoo.errors import ResultError
from zoo.results.row import Metric, ModelFacts

SEEDS = 3
A = {"contexts": 3, "variants": ["a"]}
BETTER = A | {"better_than": {"variants": ["b"]}}
MORE_VIEWS = A | {"better_than": {"contexts": 1}}
SAME = A | {"same_as": ["b"]}
BASELINE = A | {"better_than": {"baselines": ["*"]}}
WRONG = "wrong_context_nelbo_excess"
METRIC = A | {"better_than": {"metric": WRONG}}


def claims(*stated, families=()):
    entries = [{"text": f"claim {place}", "data": "rooms"} | values for place, values in enumerate(stated)]
    return Claims(
        families=families,
        file="claims.yaml",
        title="Claims",
        data={"rooms": DataChoice(dataset="rooms")},
        claims=[parse(Claim, entry, file="claims.yaml") for entry in entries],
    )


def verdict(stated, rows, **options):
    (judged,) = judge_claims(claims(stated), rows, **options)
    return judged


def holding(judged):
    return sum(comparison.in_favour for comparison in judged.comparisons)


@pytest.fixture
def trained(make_row, make_key, excess_of_scenes):
    """Returns a function that makes the rows of a variant: the scenes' excess, shifted, with noise of scene and seed."""

    def make(variant, shift=0.0, *, seeds=SEEDS, luck=0.05, size=None, **changes):
        size = len(excess_of_scenes) if size is None else size
        generator = np.random.default_rng([*variant.encode(), int(100 * abs(shift)), changes.get("views", 3)])
        key = make_key(num_scenes=size, **{"num_context": changes.get("views", 3)} | changes.get("key", {}))
        own = excess_of_scenes[:size] + shift + generator.normal(0, 0.3, size)
        rows = []
        for seed in range(seeds):
            values = own + generator.normal(0, luck) + generator.normal(0, 0.1, size)
            rows.append(make_row(values, variant=variant, seed=seed, key=key, **changes.get("row", {})))
        return rows

    return make


def with_metric(row, name, values, *, higher_is_better=None):
    values = np.asarray(values, dtype=float)
    stated = Metric(value=float(values.mean()), n=len(values), unit="nats/target", higher_is_better=higher_is_better)
    return type(row)(
        **{field: getattr(row, field) for field in type(row).model_fields}
        | {
            "id": "",
            "metrics": row.metrics | {name: stated},
            "per_scene": row.per_scene | {name: values.tolist()},
        }
    )


def baseline(make_row, values, variant="mean-image", **changes):
    return make_row(values, variant=variant, encoder="none", model=ModelFacts(parameters=0), performance={}, **changes)


def test_a_clear_difference_holds_one_way_and_not_the_other(trained):
    rows = trained("a") + trained("b", 3)
    held = verdict(BETTER, rows)
    assert (held.verdict, holding(held), held.reason) == ("holds", 1, "")
    difference = held.comparisons[0].difference
    assert -3.5 < difference.low < difference.mean < difference.high < -2.5
    assert (difference.n, difference.seeds) == (40, SEEDS) and held.p <= ALPHA
    refuted = verdict(A | {"variants": ["b"], "better_than": {"variants": ["a"]}}, rows)
    assert (refuted.verdict, holding(refuted)) == ("does not hold", 0) and refuted.comparisons[0].difference.mean > 0


def test_equals_are_undecided_and_the_control_holds(trained):
    rows = trained("a") + trained("b", 0.01)
    assert verdict(BETTER, rows).verdict == "undecided"
    assert verdict(SAME, rows).verdict == "holds"
    far = trained("a") + trained("b", 3)
    assert verdict(SAME, far).verdict == "does not hold"
    identical = trained("a") + [row.model_copy(update={"variant": "b"}) for row in trained("a")]
    held = verdict(SAME, identical)
    difference = held.comparisons[0].difference
    assert held.verdict == "holds" and (difference.mean, difference.low, difference.high) == (0, 0, 0)


@pytest.mark.parametrize("stated", [BETTER, SAME])
def test_one_seed_or_few_scenes_decide_nothing_however_clear(trained, stated):
    judged = verdict(stated, trained("a", seeds=1) + trained("b", 5))
    assert (judged.verdict, judged.reason) == ("undecided", "one seed") and abs(
        judged.comparisons[0].difference.mean
    ) > 4
    judged = verdict(stated, trained("a", size=10) + trained("b", 5, size=10))
    assert (judged.verdict, judged.reason) == ("undecided", "fewer than 20 scenes")


def test_a_claim_of_many_holds_if_all_do_and_names_the_worst(trained):
    rows = trained("a1", 0) + trained("a2", 2) + trained("a3", 2.99) + trained("b", 3)
    many = BETTER | {"variants": ["a*"]}
    judged = verdict(many, rows)
    assert (judged.verdict, holding(judged), len(judged.comparisons)) == ("undecided", 2, 3)
    assert judged.comparisons[0].first.variant == "a3"
    assert verdict(many | {"exclude": ["a3"]}, rows).verdict == "holds"
    assert verdict(many, rows + trained("a4", 6)).verdict == "does not hold"


def test_more_context_is_compared_within_each_training(trained):
    """Trainings that differ widely and each gain a little: the gain is sure, as the seeds are paired."""
    few = trained("a", 0.5, luck=0.0, views=1, key={"episodes": "0" * 16})
    many = trained("a", 0.0, luck=0.0)
    luck = [0.0, 4.0, 8.0]
    few, many = ([_shifted(row, by) for row, by in zip(rows, luck, strict=True)] for rows in (few, many))
    judged = verdict(MORE_VIEWS, few + many)
    assert judged.verdict == "holds" and -0.8 < judged.comparisons[0].difference.mean < -0.2
    assert judged.comparisons[0].difference.seeds == SEEDS
    assert verdict(MORE_VIEWS | {"metric": "psnr_of_scenes"}, _gains(few, 0) + _gains(many, 1)).verdict == "holds"
    assert (
        verdict(MORE_VIEWS | {"metric": "psnr_of_scenes"}, _gains(few, 1) + _gains(many, 0)).verdict == "does not hold"
    )


def _shifted(row, by):
    values = np.array(row.per_scene["nelbo_excess"]) + by
    stated = row.metrics["nelbo_excess"].model_copy(update={"value": float(values.mean())})
    return type(row)(
        **{field: getattr(row, field) for field in type(row).model_fields}
        | {
            "id": "",
            "metrics": row.metrics | {"nelbo_excess": stated},
            "per_scene": row.per_scene | {"nelbo_excess": values.tolist()},
        }
    )


def _gains(rows, shift):
    noise = np.random.default_rng(shift).normal(0, 0.1, 40)
    return [with_metric(row, "psnr_of_scenes", 20 + shift + noise, higher_is_better=True) for row in rows]


def test_trainings_of_other_settings_are_not_taken_for_the_same(trained):
    few = trained("a", views=1)
    other = [
        row.model_copy(update={"provenance": row.provenance.model_copy(update={"config_hash": "1" * 16})})
        for row in trained("a")
    ]
    with pytest.raises(ResultError, match=r"claim 1 .*the same trainings were not measured with 1 context views"):
        verdict(MORE_VIEWS, few + other)
    with pytest.raises(ResultError, match="the same trainings"):
        verdict(MORE_VIEWS, few[:2] + trained("a"))


def test_a_baseline_has_no_seeds_and_needs_none(trained, make_row, excess_of_scenes):
    mark = baseline(make_row, excess_of_scenes + 3)
    judged = verdict(BASELINE, [*trained("a"), mark])
    assert judged.verdict == "holds" and judged.comparisons[0].difference.seeds == SEEDS
    assert verdict(BASELINE, [*trained("a", 6), mark]).verdict == "does not hold"
    assert verdict(BASELINE, [*trained("a", seeds=1), mark]).reason == "one seed"
    again = baseline(make_row, excess_of_scenes + 3, provenance=mark.provenance.model_copy(update={"command": "later"}))
    assert holding(verdict(BASELINE, [*trained("a"), mark, again])) == 1
    with pytest.raises(ResultError, match=r"'mean-image' was trained or measured several times"):
        verdict(BASELINE, [*trained("a"), mark, baseline(make_row, excess_of_scenes + 4)])
    with pytest.raises(ResultError, match=r"no baseline row of 'nearest-view'.*known are mean-image"):
        verdict(A | {"better_than": {"baselines": ["nearest-view"]}}, [*trained("a"), mark])
    # A baseline is no variant, even where a pattern matches it.
    assert (
        len(verdict(A | {"better_than": {"variants": ["[bm]*"]}}, [*trained("a"), *trained("b", 3), mark]).comparisons)
        == 1
    )


def test_a_metric_against_another_of_the_same_rows(trained):
    rows = [
        with_metric(row, "wrong_context_nelbo_excess", np.array(row.per_scene["nelbo_excess"]) * 1.2)
        for row in trained("a")
    ]
    judged = verdict(METRIC, rows)
    assert judged.verdict == "holds" and judged.comparisons[0].difference.mean < 0
    rows = [with_metric(row, WRONG, np.array(row.per_scene["nelbo_excess"]) * 0.8) for row in trained("a")]
    assert verdict(METRIC, rows).verdict == "does not hold"


def test_other_tasks_may_be_compared_where_the_claim_says_so(trained):
    rows = trained("a") + trained("b", 3, key={"task": "unconditional"})
    assert verdict(A | {"better_than": {"variants": ["b"], "across_tasks": True}}, rows).verdict == "holds"
    with pytest.raises(ResultError, match="'a' and 'b' are not comparable: task render against unconditional"):
        verdict(BETTER, rows)


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        (
            BETTER | {"variants": ["aa"]},
            r"no row of 'aa' on rooms, 3 context views; did you mean 'a'\?|known are a, b",
        ),
        (
            BETTER | {"contexts": 9},
            "no row of 'a' on rooms, 9 context views; there is no row at all",
        ),
        (BETTER | {"metric": "nelbo_exces"}, "'a' has no 'nelbo_exces'; did you mean 'nelbo_excess'"),
        (MORE_VIEWS, "no row of 'a' on rooms, 1 context views"),
        (SAME | {"same_as": ["c"]}, "no row of 'c' on rooms"),
        (METRIC, "row .* of 'a' has no 'wrong_context_nelbo_excess' per scene"),
    ],
)
def test_what_is_missing_is_an_error_or_unknown(trained, stated, sentence):
    rows = trained("a") + trained("b", 3)
    with pytest.raises(ResultError, match=rf"claims\.yaml: claim 1 \('claim 0'\): ({sentence})"):
        verdict(stated, rows)
    judged = verdict(stated, rows, allow_missing=True)
    assert judged.verdict == "unknown" and judged.comparisons == () and judged.reason
    both = judge_claims(claims(stated, BETTER | {"text": "other"}), rows, allow_missing=True)
    assert [claim.verdict for claim in both] == ["unknown", "holds"]


def test_rows_that_may_not_be_compared_are_never_merely_unknown(trained, make_row, excess_of_scenes):
    mixed = trained("a") + trained("b", 3, key={"sigma": 1.0})
    with pytest.raises(ResultError, match=r"claim 1 .*not comparable: sigma 0\.7 against 1\.0"):
        verdict(BETTER, mixed, allow_missing=True)
    stated = claims(BETTER)._replace(data={"rooms": DataChoice(dataset="rooms", sigma=0.7)})
    assert judge_claims(stated, mixed, allow_missing=True)[0].verdict == "unknown"
    with pytest.raises(ResultError, match="a is on both sides of the claim"):
        verdict(A | {"better_than": {"variants": ["*"]}}, trained("a") + trained("b"), allow_missing=True)
    with pytest.raises(ResultError, match="'a' was trained or measured several times on the same scenes"):
        verdict(BETTER, trained("a") + trained("a", 1) + trained("b"), allow_missing=True)
    with pytest.raises(ResultError, match="floor"):
        verdict(BETTER, trained("a") + trained("b", row={"floor": 6000.0}), allow_missing=True)
    with pytest.raises(ResultError, match="neither direction of 'kl' is better"):
        verdict(
            MORE_VIEWS | {"metric": "kl"},
            [with_metric(row, "kl", excess_of_scenes) for row in trained("a") + trained("a", views=1)],
            allow_missing=True,
        )
    shuffled = [
        row.model_copy(update={"per_scene": row.per_scene | {"scene": list(range(1, 41))}}) for row in trained("b")
    ]
    with pytest.raises(ResultError, match="scored on different scenes"):
        verdict(BETTER, trained("a") + shuffled, allow_missing=True)


def test_variants_are_found_with_and_without_their_size(trained):
    rows = trained("gqn@small") + trained("gqn-jump@small", 1) + trained("vae", 3)
    assert len(verdict(A | {"variants": ["gqn*"], "better_than": {"variants": ["vae"]}}, rows).comparisons) == 2
    assert len(verdict(A | {"variants": ["gqn"], "better_than": {"variants": ["vae"]}}, rows).comparisons) == 1
    assert len(verdict(A | {"variants": ["*@small"], "better_than": {"variants": ["vae"]}}, rows).comparisons) == 2


def test_seeds_may_be_best_at_other_steps(trained):
    def at(rows, steps):
        return [
            row.model_copy(update={"budget": row.budget.model_copy(update={"steps": step})})
            for row, step in zip(rows, steps, strict=True)
        ]

    few, many = trained("a", 1, views=1), trained("a")
    judged = verdict(MORE_VIEWS, at(few, [778, 686, 778]) + at(many, [778, 686, 778]))
    assert (judged.verdict, judged.comparisons[0].difference.seeds) == ("holds", SEEDS)
    with pytest.raises(ResultError, match="the same trainings were not measured"):
        verdict(MORE_VIEWS, at(few, [778, 686, 778]) + at(many, [778, 778, 686]))
    assert verdict(BETTER, at(many, [778, 686, 778]) + trained("b", 3)).comparisons[0].difference.seeds == SEEDS


def test_rows_of_another_revision_or_split_are_other_rows(trained):
    rows = trained("a") + trained("b", 3) + trained("b", -9, key={"revision": "ffff0000"})
    with pytest.raises(ResultError, match="revision 0123456789abcdef against ffff0000"):
        verdict(BETTER, rows)
    for choice, expected in (("0123", "holds"), ("ffff0", "unknown")):
        stated = claims(BETTER)._replace(data={"rooms": DataChoice(dataset="rooms", revision=choice)})
        assert judge_claims(stated, rows, allow_missing=True)[0].verdict == expected
    stated = claims(BETTER)._replace(data={"rooms": DataChoice(dataset="rooms", split="validation")})
    assert judge_claims(stated, rows, allow_missing=True)[0].verdict == "unknown"


def test_failed_measurements_are_reported(trained, make_failure, make_key):
    rows = [*trained("a"), *trained("b", 3), make_failure(variant="a", key=make_key(), status="nan")]
    judged = verdict(BETTER, rows)
    assert judged.verdict == "holds" and judged.failures == ("a (seed 0: nan)",)
    table = table_of_claims("Claims", judge_claims(claims(BETTER), rows))
    assert "Not in claim 1, as the measurement failed: a (seed 0: nan)." in table.notes


def test_a_failed_training_does_not_disappear_from_a_claim(trained, make_failure):
    rows = trained("a")[1:] + trained("b", 3)
    assert verdict(BETTER, [*rows, make_failure(variant="a")]).failures == ("a (seed 0: oom, perhaps on other data)",)
    assert verdict(BETTER, [*rows, make_failure(variant="other")]).failures == ()
    assert verdict(BETTER, [*trained("a"), *trained("b", 3), make_failure(variant="a")]).failures == ()  # of other data


def test_the_largest_p_value_inside_a_claim_counts_and_is_not_corrected_inside(trained):
    rows = trained("a1", 0) + trained("a2", 1) + trained("a3", 2.5) + trained("b", 3)
    judged = verdict(BETTER | {"variants": ["a*"]}, rows)
    inside = [found.difference.p for found in judged.comparisons]
    assert judged.p == inside[0] == max(inside) > 2 * min(inside)
    assert judged.comparisons[0].first.variant == "a3"
    # Of the opposite one comparison is enough, so that the smallest is corrected.
    against = verdict(A | {"variants": ["b"], "better_than": {"variants": ["a*"]}}, rows)
    assert against.p == pytest.approx(3 * min(inside)) and against.comparisons[0].difference.p == min(inside)


def test_a_claim_that_would_do_alone_does_not_among_many(trained):
    """Holm's correction counts claims, not their comparisons, and no controls."""
    rows = trained("a") + trained("b", 0.6)
    alone = verdict(BETTER, rows)
    assert alone.verdict == "holds" and 0.005 < alone.p <= ALPHA
    others = [row for place in range(10) for row in trained(f"c{place}", 0.0)]
    many = {"variants": ["c[0-4]"]}
    control, claim = A | many | {"same_as": ["c[5-9]"]}, A | many | {"better_than": {"variants": ["c[5-9]"]}}
    assert judge_claims(claims(BETTER, control), rows + others)[0].p == alone.p
    among = judge_claims(claims(BETTER, *[claim] * 11), rows + others)
    assert among[0].p == pytest.approx(12 * alone.p) and among[0].verdict == "undecided"
    assert among[0].comparisons[0].difference.high < 0 and among[0].reason == ""
    # A claim without rows counts: a verdict does not depend on which rows are there already.
    missing = judge_claims(claims(BETTER, BETTER | {"variants": ["none"]}), rows, allow_missing=True)
    assert [found.verdict for found in missing] == ["holds", "unknown"]
    assert missing[0].p == pytest.approx(2 * alone.p) and missing[1].p is None


def test_families_behind_one_that_fails_are_exploratory(trained):
    rows = trained("a") + trained("b", 3) + trained("c", 3.01)
    clear, equal = BETTER | {"family": "first"}, BETTER | {"family": "second", "variants": ["c"]}
    behind = BETTER | {"family": "third"}
    judged = judge_claims(claims(behind, equal, clear, families=("first", "second", "third")), rows)
    assert [found.verdict for found in judged] == ["exploratory", "undecided", "holds"]
    assert judged[0].p is None and judged[0].comparisons[0].difference.high < 0
    assert judged[2].p == judged[2].comparisons[0].difference.p  # alone in its family
    table = table_of_claims("Claims", judged)
    assert table.title == "Claims: 1 of 3 claims hold, 1 undecided, 1 exploratory" and table.frame["p"][0] == ""
    assert {record["claim"]: record["claim_p_holm"] for record in claim_records(judged)}[1] is None
    ordered = judge_claims(claims(behind, equal, clear, families=("third", "first", "second")), rows)
    assert [found.verdict for found in ordered] == ["holds", "undecided", "holds"]
    missing = claims(clear | {"variants": ["none"]}, behind, families=("first", "third"))
    assert [found.verdict for found in judge_claims(missing, rows, allow_missing=True)] == ["unknown", "exploratory"]
    control = SAME | {"family": "first"}
    failed = judge_claims(claims(control, behind, families=("first", "third")), rows)
    assert [found.verdict for found in failed] == ["does not hold", "exploratory"]


def test_trainings_are_paired_if_both_sides_have_the_same_seeds(trained):
    luck = [0.0, 4.0, 8.0]
    a, b = ([_shifted(row, by) for row, by in zip(rows, luck, strict=True)] for rows in (trained("a"), trained("b", 3)))
    paired = verdict(BETTER, a + b)
    assert paired.verdict == "holds"
    other = [
        row.model_copy(update={"provenance": row.provenance.model_copy(update={"seed": 7 + n})})
        for n, row in enumerate(b)
    ]
    assert verdict(BETTER, a + other).verdict == "undecided"


def test_among_equals_false_findings_are_rare(make_row, make_key):
    """60 folders of six equal variants, 9 comparisons each: in at most 5 % one may be found different."""
    generator = np.random.default_rng(5)
    key = make_key(num_scenes=24)
    found = 0
    trials = 60
    for _ in range(trials):
        shared = generator.gamma(4.0, 3.0, 24)
        rows = [
            make_row(
                own + generator.normal(0, 0.2) + generator.normal(0, 0.2, 24), variant=f"v{place}", seed=seed, key=key
            )
            for place, own in enumerate(shared + generator.normal(0, 1, (6, 24)))
            for seed in range(3)
        ]
        (judged,) = judge_claims(claims(SAME | {"variants": ["v[012]"], "same_as": ["v[345]"]}), rows)
        found += judged.verdict == "does not hold"
    assert found / trials <= 0.1


def test_adjusted_p_values_say_what_holm_rejects():
    generator = np.random.default_rng(0)
    for _ in range(200):
        p = generator.uniform(0, 0.03, 6).tolist()
        assert [value <= ALPHA for value in holm_adjusted(p)] == holm(p)
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_order_of_rows_does_not_matter_and_every_comparison_is_recorded(trained, make_row, excess_of_scenes):
    rows = [*trained("a"), *trained("b", 3), *trained("a", 1, views=1), baseline(make_row, excess_of_scenes + 3)]
    stated = claims(BETTER, MORE_VIEWS, BASELINE, SAME, METRIC)
    first, second = (judge_claims(stated, order, allow_missing=True) for order in (rows, rows[::-1]))
    assert claim_records(first) == claim_records(second)
    table = table_of_claims("Claims", first)
    assert table.title == "Claims: 3 of 5 claims hold, 1 does not, 1 unknown"
    assert list(table.frame["verdict"]) == ["holds", "holds", "holds", "does not hold", "unknown"]
    assert list(table.frame["in favour"]) == ["1 of 1", "1 of 1", "1 of 1", "0 of 1", ""]
    assert table.frame["comparison"][0] == "a − b, excess NELBO"
    assert table.frame["comparison"][1] == "a: 3 − 1 context views, excess NELBO"
    assert table.frame["scenes × seeds"][0] == "40 × 3"
    records = claim_records(first)
    assert len(records) == 5 and list(records[0])[:5] == ["claim", "text", "data", "family", "claim_verdict"]
