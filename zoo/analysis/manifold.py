"""Whether representations of single views lie close to those of other views of the same scene (t-SNE).

Every view is encoded alone. The nearest neighbour of a representation, by Euclidean distance, is a view of the same scene or
of another; the baseline are the pixels themselves. The figure shows t-SNE of the views of the first scenes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

from zoo.analysis.catalogue import ANALYSES
from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.evaluation.loop import EvaluationBatch
from zoo.figures.embeddings import Embedding, embedding_panels
from zoo.model.tasks import images_from_frames
from zoo.training.trained_model import TrainedModel

PIXELS = "pixels"
SHOWN = 10  # scenes in the figure
COMPONENTS = 50  # to which representations are reduced before t-SNE


def missing(trained: TrainedModel) -> str | None:
    """Returns what a model lacks: an encoder of images."""
    return None if trained.model.encoder.context_kind == "images" else "a model that encodes images of the scene"


def run(given: AnalysisInputs) -> Findings:
    """Encodes all views of all scenes one by one."""
    vectors: dict[str, np.ndarray] = {}
    for label, trained in given.models.items():
        given.log(f"{label}: encoding {given.num_scenes * (given.scenes.num_views - 1)} views")
        found = encode_views(given, trained)
        vectors[label] = found["representation"]
        vectors.setdefault(PIXELS, found[PIXELS])
    shares = {label: same_scene_share(each) for label, each in vectors.items()}
    panels = [
        Embedding(
            f"{label}: {shares[label].mean():.0%} of neighbours", embed(each[:SHOWN], seed=given.seed), groups_of(each)
        )
        for label, each in vectors.items()
    ]
    title = ANALYSES["manifold"].title
    return Findings(
        claims=manifold_claims(shares),
        table=point_table(dict(zip(vectors, panels, strict=True))),
        draw=lambda path: embedding_panels(path, panels=panels, title=title),
    )


def encode_views(given: AnalysisInputs, trained: TrainedModel) -> dict[str, np.ndarray]:
    """Returns ``representation`` and ``pixels`` of V - 1 views of every scene, [scenes, V - 1, D] float32."""
    model, views = trained.model, given.scenes.num_views - 1
    evaluation = given.evaluation(trained, num_context=views)

    def encode(part: EvaluationBatch) -> Mapping[str, Tensor]:
        episode = model.episode(part.batch, num_context=views)
        per_view = model.encoder(episode.context).per_view
        return {
            "representation": per_view.flatten(2).float(),
            PIXELS: images_from_frames(part.batch.frames[:, :views]).flatten(2),
        }

    return evaluation.score(encode, model=model)


def same_scene_share(vectors: np.ndarray) -> np.ndarray:
    """Returns the share of the views of each scene whose nearest neighbour is of the same scene, [scenes].

    ``vectors`` are [scenes, V, D]; neighbours are searched among all views of all scenes.
    """
    scenes, views = vectors.shape[:2]
    flat = vectors.reshape(scenes * views, -1).astype(np.float64)
    flat = flat - flat.mean(0)
    products = flat @ flat.T
    lengths = np.diag(products)
    distances = lengths[:, None] + lengths - 2.0 * products
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(1) // views
    return (nearest.reshape(scenes, views) == np.arange(scenes)[:, None]).mean(1)


def embed(vectors: np.ndarray, *, seed: int) -> np.ndarray:
    """Returns t-SNE coordinates of all views of some scenes [R, V, D], [R * V, 2]."""
    flat = vectors.reshape(vectors.shape[0] * vectors.shape[1], -1)
    reduced = PCA(min(COMPONENTS, *flat.shape), svd_solver="full").fit_transform(flat)
    perplexity = min(10.0, (len(flat) - 1) / 3.0)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced))


def groups_of(vectors: np.ndarray) -> np.ndarray:
    """Returns the scene of every embedded view, [R * V]."""
    return np.repeat(np.arange(min(SHOWN, len(vectors))), vectors.shape[1])


def point_table(panels: Mapping[str, Embedding]) -> pd.DataFrame:
    """Returns a row per point that is drawn."""
    parts = [
        pd.DataFrame({"series": label, "scene": panel.groups, "x": panel.points[:, 0], "y": panel.points[:, 1]})
        for label, panel in panels.items()
    ]
    return pd.concat(parts, ignore_index=True)


def manifold_claims(shares: Mapping[str, np.ndarray]) -> list[Claim]:
    """Compares the neighbours of every model's representations with those of the pixels, over the scenes."""
    return conclude(
        [
            Expectation.less(
                f"{label}: the nearest representation is of the same scene more often than the nearest image is",
                shares[PIXELS],
                share,
                unit="of the views",
            )
            for label, share in shares.items()
            if label != PIXELS
        ]
    )
