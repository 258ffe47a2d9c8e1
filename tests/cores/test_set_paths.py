"""Paths over the features of a set: order, padding, empty sets, and attention by its formula."""

import math

import pytest
import torch

from zoo.cores.conditional_neural_process import (
    AttentionPath,
    ConditionalNeuralProcess,
    MeanPath,
    PointDecoder,
    deterministic_path,
    masked_mean,
)
from zoo.cores.neural_process import LatentPath
from zoo.episode import Views
from zoo.model.interfaces import CoreShapes, RepresentationShape

SCENES, POINTS, QUERIES, CHANNELS, PLACES, HIDDEN, HEADS = 2, 5, 3, 4, 2, 8, 2


def random(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shapes(target=(2, 1, 1)):
    return CoreShapes(
        representation=RepresentationShape(channels=CHANNELS, height=1, width=1),
        query=(PLACES,),
        target=target,
        prediction_channels=4,
        pose_width=PLACES,
    )


def config(**changes):
    return ConditionalNeuralProcess.Config(**{"hidden_channels": HIDDEN, "heads": HEADS, "decoder_layers": 2} | changes)


def made(kind):
    torch.manual_seed(0)
    return deterministic_path(config(aggregation=kind), shapes=shapes()).double()


def problem():
    mask = torch.ones(SCENES, POINTS) > 0
    query = random(SCENES, QUERIES, PLACES, seed=3)
    return random(SCENES, POINTS, CHANNELS, seed=1), random(SCENES, POINTS, PLACES, seed=2), mask, query


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_mean_is_over_what_the_mask_keeps():
    features, _, mask, _ = problem()
    close(masked_mean(features, mask), features.mean(1))
    mask = mask.clone()
    mask[0, 2:] = False
    mask[1] = False
    found = masked_mean(features, mask)
    close(found[0], features[0, :2].mean(0))
    assert (found[1] == 0).all()
    assert (masked_mean(features[:, :0], mask[:, :0]) == 0).all()


@pytest.mark.parametrize("kind", ["mean", "attention"])
class TestBothPaths:
    def test_kinds_are_as_named(self, kind):
        assert isinstance(made(kind), {"mean": MeanPath, "attention": AttentionPath}[kind])

    def test_padding_changes_nothing(self, kind):
        features, inputs, mask, query = problem()
        path = made(kind)
        before = path(Views(features[:, :3], inputs[:, :3], mask[:, :3]), query)
        close(path(Views(features, inputs, mask & (torch.arange(POINTS) < 3)), query), before)

    def test_order_of_the_points_does_not_matter_and_that_of_the_queries_is_kept(self, kind):
        features, inputs, mask, query = problem()
        path, order = made(kind), [3, 0, 4, 2, 1]
        before = path(Views(features, inputs, mask), query)
        close(path(Views(features[:, order], inputs[:, order], mask), query), before)
        close(path(Views(features, inputs, mask), query[:, [2, 0, 1]]), before[:, [2, 0, 1]])

    def test_scenes_do_not_see_each_other(self, kind):
        features, inputs, mask, query = problem()
        path = made(kind)
        before = path(Views(features, inputs, mask), query)[0]
        features, inputs, query = (part.clone() for part in (features, inputs, query))
        for part in (features, inputs, query):
            part[1] += 5.0
        close(path(Views(features, inputs, mask), query)[0], before)

    def test_nothing_observed_and_everything_padded_are_the_same(self, kind):
        features, inputs, mask, query = problem()
        path = made(kind)
        empty = path(Views(features[:, :0], inputs[:, :0], mask[:, :0]), query)
        assert empty.shape == (SCENES, QUERIES, HIDDEN) and torch.isfinite(empty).all()
        padded = path(Views(features, inputs, mask & False), query)
        close(padded, empty)


def test_attention_is_its_formula():
    features, inputs, mask, query = problem()
    path = made("attention")
    keys, queries, values = path.place(inputs), path.place(query), path.each(features)
    width = HIDDEN // HEADS
    for scene in range(SCENES):
        for place in range(QUERIES):
            heads = []
            for head in range(HEADS):
                part = slice(head * width, (head + 1) * width)
                scores = keys[scene, :, part] @ queries[scene, place, part] / math.sqrt(width)
                heads.append(torch.softmax(scores, 0) @ values[scene, :, part])
            found = path(Views(features, inputs, mask), query)[scene, place]
            close(found, path.merge(torch.cat(heads)))


def test_attention_answers_each_query_differently_and_the_mean_alike():
    features, inputs, mask, query = problem()
    found = {kind: made(kind)(Views(features, inputs, mask), query) for kind in ("mean", "attention")}
    assert (found["mean"][:, 0] == found["mean"][:, 1]).all()
    assert (found["attention"][:, 0] - found["attention"][:, 1]).abs().amax(-1).min() > 1e-6


def test_attention_pairs_a_value_with_its_own_place():
    features, inputs, mask, query = problem()
    path = made("attention")
    before = path(Views(features, inputs, mask), query)
    assert (path(Views(features, inputs.flip(1), mask), query) - before).abs().max() > 1e-6


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="hidden_channels 8: cannot be shared by 3 heads"):
        deterministic_path(config(aggregation="attention", heads=3), shapes=shapes())


def test_the_scale_of_the_latent_path_is_bounded():
    torch.manual_seed(0)
    path = LatentPath(channels=CHANNELS, hidden=HIDDEN, z_channels=3).double()
    features, _, mask, _ = problem()
    found = path(1e6 * features, mask)
    scale = found.log_scale.exp()
    assert found.mean.shape == (SCENES, 3)
    assert (scale >= 0.1 - 1e-12).all() and (scale <= 1.0 + 1e-12).all()
    assert scale.std() > 1e-3
    close(path(features[:, [4, 2, 0, 1, 3]], mask).mean, path(features, mask).mean)
    # A mean forgets how often everything was seen.
    twice = path(torch.cat([features, features], dim=1), torch.cat([mask, mask], dim=1))
    close(twice.mean, path(features, mask).mean)


@pytest.mark.parametrize("target", [(2, 1, 1), (3, 8, 8)])
def test_the_decoder_returns_values_and_images_for_any_leading_shape(target):
    torch.manual_seed(0)
    decoder = PointDecoder(config(), shapes=shapes(target), condition=5).double()
    condition, query = random(2, 3, 4, 5, seed=0), random(2, 3, 4, PLACES, seed=1)
    found = decoder(condition, query)
    assert found.shape == (2, 3, 4, 4, *target[1:])
    close(decoder(condition[1, 2, :1], query[1, 2, :1])[0], found[1, 2, 0])
    assert (decoder(condition, query + 1.0) - found).abs().max() > 1e-3
