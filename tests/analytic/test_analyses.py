"""Analyses of models whose answers are known in closed form."""

import linear_gaussian
import numpy as np
import pytest
import torch
from analysis_inputs import make_inputs, trained_model

from zoo.analysis import attention, composition, consistency, information_gain, surprise, uncertainty
from zoo.evaluation.bounds import score_scenes
from zoo.registry.variant import build

SCENE = """
  scene:
    base: exact
    title: The same with one z per scene
    core: {use: "linear_gaussian_scene:SceneLinearGaussian", z_channels: 2}
"""
SIGMA, SHRINK = 0.1, 0.05


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Trained models of images around 0.5, which stay within [0, 1]."""
    training = "sigma: {start: 0.1, end: 0.1, steps: 2}, contexts: {minimum: 1, maximum: 3}"
    registry = linear_gaussian.make_registry(tmp_path_factory.mktemp("lab"), training=training, others=SCENE)
    found = {}
    for name in ("exact", "scene"):
        variant = registry.variant(f"lab/{name}")
        model = build(variant, seed=0).double()
        with torch.no_grad():
            for parameter in model.core.parameters():
                parameter.mul_(SHRINK)
            model.core.b.fill_(0.5)
            if name == "exact":
                model.core.A.mul_(2.0)
            else:
                model.core.G.mul_(4.0)
        found[name] = trained_model(model, variant)
    return found


@pytest.fixture
def given(models, array_scenes):
    return make_inputs({"exact": models["exact"]}, array_scenes(num_scenes=24, num_views=7, image_size=4))


def test_surprise_is_the_divergence_of_the_posterior_from_the_prior(given, models):
    findings = surprise.run(given)
    table = findings.table.query("quantity.str.startswith('Bayesian') and series == 'exact'")
    assert table.position.tolist() == [1, 2, 3]
    for number, mean in zip(table.position, table["mean"], strict=True):
        evaluation = given.evaluation(models["exact"], num_context=number)
        assert mean == pytest.approx(score_scenes(models["exact"].model, evaluation)["kl"].mean())
    # The prior of this model is as wide given many views as given few, and its images are noise.
    assert not all(claim.holds for claim in findings.claims)


def test_the_spread_is_that_of_the_latents(given, models):
    core = models["exact"].model.core
    found = uncertainty.pixel_errors(
        models["exact"].model, given.evaluation(models["exact"], num_context=2), num_samples=400
    )
    exact = core.A.detach().square().sum(1).view(3, 16).mean(0).sqrt().numpy()
    np.testing.assert_allclose(found.spread.mean(0), exact, rtol=0.1)
    assert found.error.shape == (24, 16)


def test_the_gain_of_an_image_is_known(given, models):
    trained = models["exact"]
    evaluation = given.evaluation(trained, num_context=2, num_targets=3)
    (part,) = evaluation.batches()
    with torch.no_grad():
        gain = information_gain.predicted_gain(
            trained.model, part.batch, evaluation.schedule, num_context=2, num_samples=400
        )
    shrunk = 1.0 / (1.0 + trained.model.core.A.detach().square().sum(0) / SIGMA**2)
    # KL(N(m, s) || N(m_0, 1)), with m - m_0 = (1 - s)(z - m_0) for an image without noise, averaged over z.
    expected = 0.5 * (shrunk + (1.0 - shrunk) ** 2 - 1.0 - shrunk.log()).sum()
    np.testing.assert_allclose(gain.mean(), expected, rtol=0.05)
    assert gain.shape == (24, 3)


def test_views_are_chosen_by_the_largest_gain(given, models, monkeypatch):
    evaluation = given.evaluation(models["exact"], num_context=4, num_targets=1)
    (part,) = evaluation.batches()

    def by_camera(model, batch, schedule, *, num_context, num_samples):
        return batch.cameras[:, num_context:, 0]

    monkeypatch.setattr(information_gain, "predicted_gain", by_camera)
    chosen = information_gain.choose_views(models["exact"].model, part, evaluation.schedule, num_views=4, num_samples=1)
    places = part.batch.cameras[:, 1:4, 0]
    assert torch.equal(chosen[:, 1:], 1 + places.argsort(1, descending=True))
    assert not chosen[:, 0].any()


def test_views_in_random_order_keep_the_order_of_the_episodes(given, models):
    trained = models["exact"]
    evaluation = given.evaluation(trained, num_context=2, num_targets=1)
    (part,) = evaluation.batches()
    views = torch.arange(2).expand(24, -1)
    with torch.no_grad():
        found = information_gain.held_out_excess(trained.model, part, evaluation.schedule, views=views)
    np.testing.assert_allclose(found, score_scenes(trained.model, evaluation)["nelbo_excess"])


def test_influence_is_the_derivative_of_the_prediction(given, models):
    model = models["exact"].model
    evaluation = given.evaluation(models["exact"], num_context=2)
    (part,) = evaluation.batches()
    found = attention.influence(model, part, schedule=evaluation.schedule)
    core, weight = model.core, model.encoder.weight.detach()
    by_pixel = (core.F + core.A @ core.E).detach() @ weight[:, :48]  # image [48] by context pixels [48]
    middle = by_pixel.view(3, 4, 4, 48)[:, 1:3, 1:3].mean(dim=(0, 1, 2))
    expected = middle.view(3, 4, 4).abs().sum(0).expand(24, 2, 4, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_latents_of_the_scene_are_consistent_and_those_of_a_query_are_not(models, array_scenes):
    scenes = array_scenes(num_scenes=24, num_views=5, image_size=4)
    findings = consistency.run(make_inputs({"a": models["exact"], "b": models["scene"]}, scenes, num_samples=8))
    assert all(claim.holds for claim in findings.claims), [claim.sentence for claim in findings.claims]
    assert len(findings.claims) == 4
    found = {label: consistency.measure(make_inputs({}, scenes), models[label], label=label) for label in models}
    swapped = {label: one._replace(shared=not one.shared) for label, one in found.items()}
    assert not any(claim.holds for claim in consistency.consistency_claims(swapped, accuracy=None))


def test_held_out_combinations_are_compared_with_the_views_of_a_scene_of_the_same_kind(
    models, array_scenes, monkeypatch
):
    def no_images(model, evaluation, *, num_samples):  # they are too small for SSIM
        return {"mse": np.zeros(evaluation.plan.num_scenes)}

    monkeypatch.setattr(composition, "score_images", no_images)
    scenes = array_scenes(num_scenes=5, num_views=5, image_size=4)
    found = composition.measure(make_inputs({}, scenes), models["exact"], label="x")
    # The last of five even and odd scenes is left out: two places after it comes the first odd one.
    scenes.frames[1::2] = 0
    again = composition.measure(make_inputs({}, scenes), models["exact"], label="x")
    np.testing.assert_array_equal(again.elsewhere[::2], found.elsewhere[::2])
    assert len(found.elsewhere) == len(found.own["mse"]) == 4
