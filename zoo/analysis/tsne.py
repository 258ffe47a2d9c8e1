"""t-SNE of r coloured by scene, beside the latents of a VAE and pixels (Eslami et al. 2018, figure 3).

Every point is a set of N views of a scene, and the sets of a scene are disjoint. Where r depends on the scene and not on
the viewpoint, the points of a scene lie together. The maps are an illustration: the number is the purity, the share of
the nearest neighbours that are of the same scene, and it is measured between the features themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.manifold import TSNE

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Draw, Findings
from zoo.analysis.view_sets import Systems, measure_sets, missing_representation, systems_of
from zoo.evaluation.neighbours import distances_between, neighbour_purity
from zoo.figures.embeddings import Embedding, embedding_panels

SIZES = (1, 3)  # N, views of a set; the paper shows single views
NUM_NEIGHBOURS = 5
SHOWN = 28  # scenes of the maps
PERPLEXITY = 12.0

missing = missing_representation


class MappedSets(NamedTuple):
    """The sets of one system."""

    points: np.ndarray  # [shown scenes, M, 2]
    purity: np.ndarray  # [n], 0 to 1


def run(given: AnalysisInputs) -> Findings:
    """Maps the features of all systems, and compares the purity of their neighbourhoods on the same scenes."""
    systems = systems_of(given)
    maps = measure_sets(given, systems, sizes=SIZES, measure=map_scenes)
    first, *others = maps
    return Findings(
        claims=purity_claims(maps, systems),
        table=map_table(maps),
        draw=map_figure(maps[first], size=first),
        sheets={f"{size}-views": map_figure(maps[size], size=size) for size in others},
    )


def map_scenes(features: np.ndarray) -> MappedSets:
    """Returns the purity of features [n, M, D], and the map of the first scenes."""
    shown, sets = features[:SHOWN], features.shape[1]
    perplexity = min(PERPLEXITY, (shown.shape[0] * sets - 1) / 3.0)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(shown.reshape(-1, shown.shape[-1]))
    purity = neighbour_purity(distances_between(features), num_neighbours=NUM_NEIGHBOURS)
    return MappedSets(plane.reshape(-1, sets, 2), purity)


def purity_claims(maps: Mapping[int, Mapping[str, MappedSets]], systems: Systems) -> list[Claim]:
    """Compares r with the other systems, scene by scene."""
    return conclude(
        [
            Expectation.less(
                f"{label}, sets of {size} view(s): fewer of the nearest neighbours are of the same scene with {other} than with r",
                found[other].purity,
                found[label].purity,
                unit="of the neighbours",
            )
            for size, found in maps.items()
            for label, other in systems.pairs
        ]
    )


def map_figure(found: Mapping[str, MappedSets], *, size: int) -> Draw:
    """Returns the function that draws the maps of all systems, a point for each set of ``size`` views."""
    panels = [
        Embedding(
            title=f"{label}: purity {one.purity.mean():.2f}",
            points=one.points.reshape(-1, 2),
            groups=np.repeat(np.arange(len(one.points)), one.points.shape[1]),
        )
        for label, one in found.items()
    ]
    title = f"{ANALYSES['tsne'].title}: t-SNE of sets of {size} view(s)"
    return lambda path: embedding_panels(path, panels=panels, title=title)


def map_table(maps: Mapping[int, Mapping[str, MappedSets]]) -> pd.DataFrame:
    """Returns a row for each point of the maps; the mean purity is over all scenes, also those that are not shown."""
    return pd.DataFrame(
        [
            {
                "views": size,
                "system": label,
                "scene": scene,
                "set": index,
                "x": x,
                "y": y,
                "purity_of_scene": one.purity[scene],
                "mean_purity": one.purity.mean(),
                "scenes": len(one.purity),
            }
            for size, found in maps.items()
            for label, one in found.items()
            for scene, points in enumerate(one.points.tolist())
            for index, (x, y) in enumerate(points)
        ]
    )
