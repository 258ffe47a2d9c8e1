"""Tables and figure of the runs in a folder; the same runs give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.time_to_quality.crossings import Reached, reached
from benchmarks.time_to_quality.record import QualityRun
from zoo.comparison.seed_groups import grouped
from zoo.figures.style import GREY, save_figure, series_style, styled, use_log_scale
from zoo.files import write_text

TABLE, FIGURE = "time-to-quality.md", "time-to-quality.png"
THRESHOLDS = (100.0, 80.0, 60.0, 50.0, 40.0, 30.0)
# Field of a crossing -> title of its table, divisor.
_QUANTITIES = {
    "seconds": ("Training time, seconds of CPU time on one thread", 1.0),
    "updates": ("Updates", 1.0),
    "flops": ("Training operations, TFLOP", 1e12),
}

Curves = dict[str, list[QualityRun]]


def write_report(runs: Sequence[QualityRun], folder: Path, *, thresholds: Sequence[float] = THRESHOLDS) -> list[Path]:
    """Writes the tables and the figure and returns their paths."""
    figure = save_figure(draw(curves_of(runs), thresholds=thresholds), Path(folder) / FIGURE)
    text = Path(folder) / TABLE
    write_text(text, markdown(runs, thresholds=thresholds))
    return [text, figure]


def curves_of(runs: Sequence[QualityRun]) -> Curves:
    """Returns the runs of every subject, by its label; of one label with several settings, each with its own hash."""
    subjects = grouped(sorted(runs, key=lambda run: run.provenance.seed), lambda run: run.subject)
    labels = [label for label, _, _ in subjects]
    return {
        label if labels.count(label) == 1 else f"{label} ({config_hash[:8]})": members
        for (label, config_hash, _), members in sorted(subjects.items())
    }


def markdown(runs: Sequence[QualityRun], *, thresholds: Sequence[float]) -> str:
    """Returns the page: conditions, figure and tables."""
    first, curves = runs[0], curves_of(runs)
    machines = {f"{run.provenance.hardware.cpu}, {run.provenance.hardware.threads} thread(s)" for run in runs}
    commits = {"unknown" if (git := run.provenance.git) is None else git.commit[:8] + "+" * git.dirty for run in runs}
    days = sorted(run.provenance.utc[:10] for run in runs)
    share = [run.points[-1].wall_seconds / max(run.points[-1].cpu_seconds, 1e-9) for run in runs]
    conditions = (
        f"{first.dataset}, {first.scenes} unseen scenes, {first.num_context} context views, sigma {first.sigma:g}; "
        f"{len(runs)} runs on {'; '.join(sorted(machines))}; commit {', '.join(sorted(commits))}; "
        f"torch {first.provenance.versions['torch']}; {days[0]}"
        + (f" to {days[-1]}" if days[-1] != days[0] else "")
        + "."
    )
    notes = (
        "Excess NELBO, nats/target: NELBO minus the likelihood's constant at zero error. "
        "The number of updates is that of the whole training, to which learning rate, sigma and beta are stretched. "
        "A cell has the median over seeds of where a training first reaches the excess, linear between scored updates, and "
        "the least and the largest over seeds in brackets; a seed that does not reach it counts as later than any other. "
        f"Seconds are CPU time of the training steps with loading, without scoring; wall-clock time was {min(share):.2f} to "
        f"{max(share):.2f} times that, because the machine ran other work. "
        "Operations count convolutions directly, at the middle number of context views. `textbook` is the network of "
        "gqn-tower, computed by the loop of public code from torch's initial weights, with the schedules of Eslami et al. 2018."
    )
    sections = [
        f"## {title}\n\n{_table(curves, quantity, divisor=divisor, thresholds=thresholds)}"
        for quantity, (title, divisor) in _QUANTITIES.items()
    ]
    return (
        "\n\n".join(["# Time to quality", conditions, f"![{FIGURE}]({FIGURE})", *sections, f"<sub>{notes}</sub>"])
        + "\n"
    )


def _table(curves: Curves, quantity: str, *, divisor: float, thresholds: Sequence[float]) -> str:
    rows = []
    for label, runs in curves.items():
        longest = max(_length(run)[quantity] for run in runs) / divisor
        cells = {
            f"excess {level:g}": _cell(reached(runs, level), quantity, divisor=divisor, longest=longest)
            for level in thresholds
        }
        ends = [run.points[-1].excess for run in runs]
        rows.append({"recipe": label, "seeds": str(len(runs)), **cells, "at the end": _spread(ends)})
    frame = pd.DataFrame(rows)
    align = ["left", *["right"] * (len(frame.columns) - 1)]
    return frame.to_markdown(index=False, tablefmt="pipe", colalign=align, disable_numparse=True)


def _length(run: QualityRun) -> dict[str, float]:
    """Returns the whole training by the fields of a crossing."""
    last = run.points[-1]
    return {
        "seconds": last.cpu_seconds,
        "updates": float(last.updates),
        "flops": float(last.updates) * run.flops_per_update,
    }


def _cell(found: Reached, quantity: str, *, divisor: float, longest: float) -> str:
    if not found.num_reached:
        return f"not in {_number(longest)}"
    low, high = found.range(quantity)
    median = found.median(quantity)
    if math.isinf(median):
        return f"{found.num_reached} of {len(found.crossings)} seeds"
    text = _number(median / divisor)
    if len(found.crossings) > 1:
        text += f" ({_number(low / divisor)} to {'later' if math.isinf(high) else _number(high / divisor)})"
    return text


def _spread(values: Sequence[float]) -> str:
    middle = f"{np.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} to {max(values):.1f})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


@styled
def draw(curves: Curves, *, thresholds: Sequence[float] = THRESHOLDS) -> Figure:
    """Draws excess against CPU time and against operations: medians over seeds, bands from the least to the largest."""
    figure = Figure(figsize=(9.6, 4.4))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, quantity in zip(panels, ("seconds", "flops"), strict=True):
        for index, (label, runs) in enumerate(curves.items()):
            _draw_curve(axes, runs, quantity=quantity, label=label, index=index, thresholds=thresholds)
        for level in thresholds:
            axes.axhline(level, color=GREY, linewidth=0.6, linestyle=(0, (1.5, 2.0)), zorder=0.5)
        axes.set_xlabel(
            {"seconds": "training time (s of CPU time, one thread)", "flops": "training operations (TFLOP)"}[quantity]
        )
        lines = [line.get_xdata() for line in axes.lines if line.get_label() in curves]
        places = np.concatenate([np.asarray(line, dtype=float) for line in lines])
        use_log_scale(axes, "x", low=places.min(), high=places.max())
    values = [point.excess for runs in curves.values() for run in runs for point in run.points[1:]]
    use_log_scale(panels[0], "y", low=min(values), high=max(values))
    panels[0].set_yticks([*thresholds, *(level for level in (200.0, 500.0, 1000.0, 2000.0) if level < max(values))])
    panels[0].set_ylabel("excess NELBO of unseen scenes (nats/target)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), handlelength=3.0)
    return figure


def _draw_curve(
    axes: Axes, runs: Sequence[QualityRun], *, quantity: str, label: str, index: int, thresholds: Sequence[float]
) -> None:
    """Draws one subject at the updates that all of its seeds have scored, and marks where the median reaches a threshold."""
    scored = sorted(set.intersection(*({point.updates for point in run.points[1:]} for run in runs)))
    points = [[point for point in run.points if point.updates in scored] for run in runs]
    excess = np.array([[point.excess for point in one] for one in points])
    if quantity == "seconds":
        places = np.median([[point.cpu_seconds for point in one] for one in points], axis=0)
    else:
        places = np.array(scored) * runs[0].flops_per_update / 1e12
    style = series_style(index)
    axes.plot(places, np.median(excess, axis=0), **{**style, "marker": ""}, label=label)
    axes.fill_between(places, excess.min(axis=0), excess.max(axis=0), color=style["color"], alpha=0.2, linewidth=0.0)
    for level in thresholds:
        place = reached(runs, level).median(quantity) / _QUANTITIES[quantity][1]
        if math.isfinite(place):
            axes.plot(place, level, marker="os^D"[index % 4], color=style["color"], linestyle="", zorder=3)
