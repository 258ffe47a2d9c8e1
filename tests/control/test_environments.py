"""The Gymnasium environments: the checker of Gymnasium, seeds, batches, and observations."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from zoo.control.environments import NAME, ReachingEnv, ReachingVectorEnv
from zoo.control.observations import FrozenRepresentation, Pixels, TrueState
from zoo.control.reaching import EPISODE_STEPS, ReachingArms
from zoo.data.render.rng import seeded
from zoo.errors import ConfigError
from zoo.evaluation.representations import encode_views
from zoo.registry.registry import default_registry
from zoo.registry.variant import build


@pytest.fixture(scope="module")
def model():
    return build(default_registry().variant("gqn-improved", size="smoke"), seed=0)


def actions_of(number, *, steps=EPISODE_STEPS + 2):
    return (2.0 * seeded(7).random((steps, number, 3)) - 1.0).astype(np.float32)


def roll_out(env, actions, *, seed):
    """Returns every observation and reward; a single environment is reset at the end of an episode."""
    observations, rewards = [env.reset(seed=seed)[0]], []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not np.any(terminated)
        if np.ndim(truncated) == 0 and truncated:
            observation, _ = env.reset()
        observations.append(observation)
        rewards.append(reward)
    return np.array(observations), np.array(rewards)


@pytest.mark.parametrize("camera", ["fixed", "front", "around"])
@pytest.mark.parametrize("observation", [Pixels(16), TrueState()], ids=["pixels", "state"])
def test_the_checker_of_gymnasium_finds_nothing(observation, camera):
    options = {"observation": observation, "camera": camera, "render_mode": "rgb_array"}
    check_env(gymnasium.make(NAME, **options).unwrapped)


@pytest.mark.filterwarnings("ignore:.*A Box observation space (min|max)imum value is -?infinity")
def test_the_checker_of_gymnasium_finds_nothing_but_an_unbounded_representation(model):
    check_env(gymnasium.make(NAME, observation=FrozenRepresentation(model), render_mode="rgb_array").unwrapped)


def test_equal_seeds_give_equal_bytes():
    env, actions = ReachingEnv(Pixels(16), camera="around"), actions_of(1)[:, 0]
    first, again, other = (roll_out(env, actions, seed=seed) for seed in (3, 3, 4))
    assert first[0].tobytes() == again[0].tobytes() and first[1].tobytes() == again[1].tobytes()
    assert (first[0][0] != other[0][0]).any() and (first[1] != other[1]).any()


@pytest.mark.parametrize("observation", [Pixels(16), TrueState()], ids=["pixels", "state"])
def test_an_arm_of_a_batch_is_the_single_environment_of_its_seed(observation):
    actions = actions_of(3)
    batch = gymnasium.make_vec(
        NAME,
        num_envs=3,
        vectorization_mode="vector_entry_point",
        observation=observation,
        camera="around",
        room="drawn",
    )
    observations, rewards = roll_out(batch, actions, seed=11)
    assert observations.shape[1:] == batch.observation_space.shape and rewards.shape == (len(actions), 3)
    for index in range(3):
        alone = roll_out(ReachingEnv(observation, camera="around", room="drawn"), actions[:, index], seed=11 + index)
        assert observations[:, index].tobytes() == alone[0].tobytes()
        assert rewards[:, index].tobytes() == alone[1].tobytes()


def test_the_last_step_of_an_episode_has_both_observations():
    env, actions = ReachingVectorEnv(TrueState(), num_envs=2), actions_of(2)
    start, info = env.reset(seed=0)
    distances = info["distance"]
    for step, action in enumerate(actions[:EPISODE_STEPS], 1):
        observations, rewards, _, truncated, info = env.step(action)
        assert truncated.tolist() == [step == EPISODE_STEPS] * 2
        distances = distances - rewards
    assert info["final_info"]["distance"] == pytest.approx(distances)
    assert (info["final_obs"][:, -3:] == start[:, -3:]).all()  # the ball stays
    assert (observations[:, -3:] != start[:, -3:]).any(1).all()  # and is another one in the next episode


def test_the_true_state_has_angles_and_ball():
    arms = ReachingArms(2)
    arms.reset([seeded(0), seeded(1)])
    seen = TrueState()(arms)
    assert seen.shape == (2, 9) and seen.dtype == np.float32 and TrueState().space.contains(seen[0])
    assert seen[:, :3] == pytest.approx(np.sin(arms.joints[:, :3]), abs=1e-6)
    assert seen[:, 3:6] == pytest.approx(np.cos(arms.joints[:, :3]), abs=1e-6)
    assert seen[:, 6:] == pytest.approx(arms.balls)


@pytest.mark.parametrize("cells", [1, 2, 100])
def test_the_frozen_representation_is_that_of_the_encoder_without_gradient(model, cells):
    arms = ReachingArms(3, camera="around")
    arms.reset([seeded(index) for index in range(3)])
    observation = FrozenRepresentation(model, cells=cells)
    seen = observation(arms)
    frames = arms.frames(image_size=model.task.target_shape[-1])
    expected = encode_views(model, frames[:, None], arms.cameras[:, None])
    channels, side = expected.shape[1:3]
    kept = min(cells, side)
    block = side // kept
    means = expected.reshape(3, channels, kept, block, kept, block).mean((3, 5))
    assert seen.shape == (3, *observation.space.shape) and seen.dtype == np.float32
    np.testing.assert_allclose(seen, means.reshape(3, -1), rtol=1e-5, atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())
    arms.cameras = arms.cameras + np.float32(0.1)
    assert (observation.encode(frames[:, None], arms.cameras[:, None]) != seen).any()


def test_a_model_without_r_is_refused():
    with pytest.raises(ConfigError, match="expected a model that pools images"):
        FrozenRepresentation(build(default_registry().variant("vae", size="smoke"), seed=0))


def test_rendering_is_on_request():
    env = ReachingEnv(TrueState(), render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (128, 128, 3)
    assert ReachingEnv(TrueState()).render() is None
