"""Trends of scores along a number, such as the number of context views: their panels, their table and what is found."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim
from zoo.analysis.findings import NO_SHEETS, Draw, Findings, Sheets
from zoo.figures.trends import TrendPanel, trend_panels


def trend_table(panels: Sequence[TrendPanel], *, along: str) -> pd.DataFrame:
    """Returns what :func:`zoo.figures.trends.trend_panels` draws: a row per series and position, means with errors."""
    return pd.DataFrame(
        [
            {
                "quantity": panel.quantity,
                "series": trend.label,
                "along": panel.along or along,
                "position": position,
                "mean": mean,
                "standard_error": error,
                "scenes": trend.num_scenes,
            }
            for panel in panels
            for trend in panel.trends
            for position, mean, error in zip(trend.positions, trend.means, trend.errors, strict=True)
        ]
    )


def trend_figure(panels: Sequence[TrendPanel], *, along: str, title: str) -> Draw:
    """Returns the function that draws the panels."""
    return lambda path: trend_panels(path, panels=panels, along=along, title=title)


def trend_findings(
    name: str, *, claims: Sequence[Claim], panels: Sequence[TrendPanel], along: str, sheets: Sheets = NO_SHEETS
) -> Findings:
    """Returns the claims of an analysis with the figure and the table of its panels, below its title."""
    draw = trend_figure(panels, along=along, title=ANALYSES[name].title)
    return Findings(claims, trend_table(panels, along=along), draw, sheets)
