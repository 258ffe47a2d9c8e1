"""What has to be known to read a comparison table, in the sentences below it."""

from __future__ import annotations

from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.results.metrics import metric_info

_OF_BOUNDS = (
    "All bounds and KL are in nats per target; an excess is a bound minus the floor, the cost of a perfect prediction."
)
_OF_CODES = (
    "bits/dim is the length of a code of the 8-bit values, so that models of different likelihoods may be compared; a "
    "code sigma, where there is one, was fitted for it and is not that of training. KL is in nats per target."
)


def notes_of(group: Leaderboard) -> tuple[str, ...]:
    """Returns the footnotes of a group's table: units, spreads, the test with its numbers of seeds, and the frontier."""
    if group.metric is None or not (group.models or group.baselines):
        return ()
    name = metric_info(group.metric).title
    ranked = f"Lines are ranked by {name}, {'higher' if group.higher_is_better else 'lower'} is better."
    notes = [f"{_OF_CODES if group.codes else _OF_BOUNDS} {ranked}"]
    seeds = {len(line.rows) for line in (*group.models, *group.baselines)}
    spreads = ["the standard error over scenes"] if 1 in seeds else []
    if max(seeds) > 1:
        spreads.append("the standard deviation over n seeds" + (" where n is given" if spreads else ""))
    notes.append(f"± is {', or '.join(spreads)}.")
    if group.differences:
        notes += [_test(group), _frontier()]
    if group.baselines:
        notes.append(_references(group))
    return tuple(notes)


def _references(group: Leaderboard) -> str:
    """Returns what the references are, and which models do not pass them."""
    sentences = ["In italics, not ranked: references, for which nothing was trained."]
    for reference, models in group.not_better:
        if models:
            names = ", ".join(dict.fromkeys(line.variant for line in models))
            sentences.append(
                f"NOT better than the reference {reference.variant}: {names} (paired over scenes, 95%, each for itself)."
            )
    passed = [reference.variant for reference, models in group.not_better if not models]
    if passed:
        sentences.append(f"Every model is better than {' and '.join(dict.fromkeys(passed))} (paired over scenes, 95%).")
    return " ".join(sentences)


def _test(group: Leaderboard) -> str:
    ranked = [len(line.rows) for line in group.models[: len(group.differences) + 1]]
    fewest, most = min(ranked), max(ranked)
    seeds = f"{fewest} seed{'s' if fewest > 1 else ''} a line" if fewest == most else f"{fewest} to {most} seeds a line"
    test = f"paired t-test over scenes{' and seeds' if most > 1 else ''} ({seeds}, 95%, at least {MIN_SCENES} scenes)"
    count = len(group.differences)
    corrected = f"a {test} with Holm correction for {count} comparison{'s' if count > 1 else ''}"
    if group.decided:
        return f"Bold: the best line differs from every other by {corrected}."
    if fewest < MIN_SEEDS:
        return (
            "No line is bold: of a line with one seed the test judges this trained model, not how training varies. "
            f"Intervals: {test}, each for itself."
        )
    return f"No line is bold: the best does not differ from every other by {corrected}."


def _frontier() -> str:
    return (
        "On the frontier of a cost is a line than which no other is both better and cheaper, by their means; time, "
        "latency and memory are compared on the same machine only."
    )
