"""The notes below leaderboards: what is needed to read them."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.comparison.formatting import commit_of, hardware_of, sanitize
from zoo.comparison.leaderboards import Leaderboard
from zoo.comparison.statistics import MIN_SCENES, MIN_SEEDS
from zoo.results.metrics import metric_info
from zoo.results.row import ResultRow

_EXCESS = (
    "Excess NELBO is the NELBO minus the likelihood's constant at zero error (the floor): the squared-error term of a "
    "Gaussian likelihood plus the KL, in nats per target."
)
_CODE_LENGTH = (
    "bits/dim is the lossless code length of the 8-bit values, comparable over likelihoods. Code sigma, where there is one, "
    "was fitted for it and is not that of the training."
)
_PARETO = (
    "On the Pareto front of a cost is a model if no other is both better and cheaper, by the means. Time, latency and "
    "memory are compared on one machine only."
)


def notes_of(board: Leaderboard, *, pareto: bool) -> tuple[str, ...]:
    """Returns what is needed to read a leaderboard: the key, the metric, the spreads, the test and the baselines."""
    if board.metric is None or not board.entries:
        return ()
    notes = [_details(board)]
    if board.of_code_length:
        notes.append(_CODE_LENGTH)
    elif any("nelbo_excess" in row.metrics for entry in board.entries for row in entry.rows):
        notes.append(_EXCESS)
    direction = "higher" if board.higher_is_better else "lower"
    notes.append(f"Ranked by {metric_info(board.metric).title}, {direction} is better.")
    notes.append("± is the standard deviation over seeds; with one seed the standard error over scenes.")
    if board.differences:
        notes.append(_test(board))
    if pareto:
        notes.append(_PARETO)
    if board.baselines:
        notes.append(_baselines(board))
    return tuple(sanitize(note) for note in notes)


def _details(board: Leaderboard) -> str:
    key = board.key
    if key is None:
        return ""
    pixels = f", pixels in {key.pixel_range}" if key.image_size else ""
    floor = "" if board.of_code_length or board.floor is None else f", floor {board.floor:.1f} nats/target"
    return (
        f"{key.split} split of revision {key.revision[:8]}, {key.num_scenes} scenes (episodes {key.episodes[:8]}), "
        f"{key.num_targets} {'target' if key.num_targets == 1 else 'targets'} per scene{pixels}{floor}."
    )


def _test(board: Leaderboard) -> str:
    test = f"paired t-tests over scenes and seeds (at least {MIN_SCENES} scenes)"
    if board.decided:
        return f"Bold: the best differs from every other by {test}, 95% with Holm's correction. Intervals: 95% each."
    if min(len(model.rows) for model in board.models[: board.num_ranked]) < MIN_SEEDS:
        return (
            "No row is bold: with one seed the test judges this trained model, not how training varies. "
            f"Intervals: {test}, 95% each."
        )
    return f"No row is bold: the best does not differ from every other by {test}, 95% with Holm's correction."


def _baselines(board: Leaderboard) -> str:
    """Returns which models are not better than the baselines, or which are, whichever is shorter."""
    sentences = ["In italics, not ranked: baselines without training."]
    everything = {model.variant for model in board.models}
    passed = []
    for baseline, models in board.not_better:
        failing = {model.variant for model in models}
        better = sorted(everything - failing)
        if not failing:
            passed.append(baseline.variant)
        elif not better:
            sentences.append(f"NO model is better than {baseline.variant} (paired t-tests, 95% each).")
        elif len(better) < len(failing):
            sentences.append(
                f"Better than {baseline.variant}: {', '.join(better)}; the others are not (paired t-tests, 95% each)."
            )
        else:
            sentences.append(
                f"NOT better than {baseline.variant}: {', '.join(sorted(failing))} (paired t-tests, 95% each)."
            )
    if passed:
        names = " and ".join(dict.fromkeys(passed))
        sentences.append(f"Every model is better than {names} (paired t-tests, 95% each).")
    return " ".join(sentences)


def measured_on(rows: Sequence[ResultRow]) -> list[str]:
    """Returns one sentence on the machines and commits of the rows."""
    if not rows:
        return []
    machines = sorted({hardware_of(row) for row in rows})
    commits = sorted({commit_of(row) for row in rows} - {""})
    at = f" Commit {', '.join(commits)}." if commits else ""
    return [sanitize(f"Measured on {'; '.join(machines)}.{at}")]
