"""Probes of a robot arm and learning curves of policies whose answer is known."""

import numpy as np
import pytest
from analysis_inputs import make_inputs

from zoo.analysis import joints
from zoo.analysis.control import Learning, control_claims, interaction_claim, missing
from zoo.analysis.factors import probe
from zoo.analysis.joints import fixed_views, joint_claims, read_arms, targets_of
from zoo.analysis.view_sets import Systems
from zoo.control.reaching import FIXED_CAMERA
from zoo.data.factors.arm_factors import ArmFactors
from zoo.data.render.jaco import SCALE, draw_scene
from zoo.data.render.rng import seeded
from zoo.data.scene import render_scene
from zoo.errors import ConfigError, DataError

ARMS = [ArmFactors.of(draw_scene(seeded(index))[0]) for index in range(60)]
STEPS = np.arange(100, 1100, 100)
SYSTEMS = Systems(describe={}, represented=["r"], others=["pixels"])


def test_probes_know_what_is_linear_and_nothing_of_noise():
    targets, rng = targets_of(ARMS), np.random.default_rng(0)
    known = np.concatenate([*targets.values()], axis=1)
    mixed = known @ rng.normal(size=(known.shape[1], 40))  # more features than numbers: their linear functions remain
    scores = {"r": probe(mixed, targets), "pixels": probe(rng.normal(size=(60, 40)), targets)}
    assert all(scores["r"][name].mean() > 0.99 and scores["pixels"][name].mean() < 0.5 for name in targets)
    claims = joint_claims({"one view": scores}, SYSTEMS)
    assert len(claims) == len(targets) and all(claim.holds for claim in claims)
    swapped = {"r": scores["pixels"], "pixels": scores["r"]}
    assert not any(claim.holds for claim in joint_claims({"one view": swapped}, SYSTEMS))


def test_targets_are_angles_and_metres():
    targets, arm = targets_of(ARMS), ARMS[7]
    assert np.arctan2(*targets["foot joint"][7]) == pytest.approx(arm.joints[0])
    assert targets["elbow joint"][7] == pytest.approx(arm.joints[2])
    assert targets["ball position"][7] * SCALE == pytest.approx(arm.target.position[:2])
    assert targets["hand position"].shape == (60, 3) and targets["wrist joints"].shape == (60, 6)


def test_the_fixed_views_are_those_of_the_scenes():
    frames, cameras = fixed_views(ARMS[:2], image_size=16)
    assert cameras.shape == (2, 1, 5) and (cameras == np.array(FIXED_CAMERA, np.float32)).all()
    for arm, frame in zip(ARMS[:2], frames, strict=True):
        assert (render_scene(arm, cameras[0], image_size=16) == frame).all()


def test_scenes_without_arms_and_too_few_scenes_are_refused(array_scenes):
    scenes = array_scenes(num_scenes=12)
    with pytest.raises(DataError, match="arrays: has no factors of a robot arm"):
        read_arms(scenes, num_scenes=12)
    with pytest.raises(ConfigError, match="found 5 scenes, expected 10 or more to probe"):
        joints.run(make_inputs({}, array_scenes(num_scenes=5)))


def learning_of(*, half, final=1.0, distance=0.1, seeds=5):
    """Curves that reach half of their final return at ``half`` steps, somewhat different from seed to seed."""
    rng = np.random.default_rng(0)
    speed = half * np.exp(0.05 * rng.normal(size=(seeds, 1)))
    returns = final * (1.0 - 0.5 ** (STEPS / speed))
    return Learning(STEPS, returns, distance + 0.01 * rng.normal(size=(seeds, 30)))


def test_interactions_are_counted_until_the_level():
    curve = Learning(STEPS, np.stack([STEPS / 1000.0, STEPS / 4000.0]), np.zeros((2, 20)))
    assert curve.interactions(0.35).tolist() == [400, 1000]  # the second never gets there
    assert curve.final == pytest.approx([0.95, 0.2375])


@pytest.mark.parametrize(("r", "pixels", "holds"), [(100.0, 300.0, True), (300.0, 100.0, False), (200.0, 200.0, False)])
def test_fewer_interactions_and_nearer_hands_are_claimed_where_they_are(r, pixels, holds):
    found = {
        "r": learning_of(half=r, distance=r / 1000.0),
        "pixels": learning_of(half=pixels, distance=pixels / 1000.0),
        "true state": learning_of(half=50.0),
    }
    claims = control_claims(found, represented=["r"])
    assert [claim.holds for claim in claims] == [holds] * 2
    ratio = claims[0]
    assert ratio.low <= ratio.mean <= ratio.high and ratio.scenes == 5
    assert (ratio.mean < 1.0) == (r < pixels)


def test_a_policy_that_never_reaches_the_level_has_no_claim():
    slow = learning_of(half=100.0)
    slow = slow._replace(returns=np.vstack([slow.returns[:4], np.zeros((1, 10))]))
    assert not interaction_claim("r", slow, learning_of(half=900.0), level=0.5).holds
    nothing = interaction_claim("r", slow, slow, level=-0.1)
    assert not nothing.holds and "not measured" in nothing.measured


def test_without_the_extra_the_analysis_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing(None) == "the extra control: pip install 'gqn-zoo[control]'"
