"""Policies: a few steps of training with every observation, seeds, and the interface of stable-baselines3."""

import numpy as np
import pytest
import torch
from identity_model import identity_model

from zoo.control import policies
from zoo.control.environments import ReachingVectorEnv
from zoo.control.observations import FrozenRepresentation, Pixels, TrueState
from zoo.control.policies import ArmVecEnv, train_policy
from zoo.control.reaching import EPISODE_STEPS

NUM_ARMS = 5
BATCH_STEPS = NUM_ARMS * EPISODE_STEPS


@pytest.fixture
def few_arms(monkeypatch):
    """Training begins after the first of the batches, which are small."""
    monkeypatch.setattr(policies, "NUM_ARMS", NUM_ARMS)
    monkeypatch.setattr(policies, "BATCH_STEPS", BATCH_STEPS)
    for name, value in {"learning_starts": BATCH_STEPS, "gradient_steps": 1, "batch_size": 16}.items():
        monkeypatch.setitem(policies.SETTINGS, name, value)


def numbers_of(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize("kind", ["pixels", "r", "state"])
def test_two_hundred_steps_train_a_policy_and_leave_r_as_it_is(few_arms, kind):
    model = identity_model(size=24)
    before = numbers_of(model)
    observation = {"pixels": Pixels(24), "r": FrozenRepresentation(model), "state": TrueState()}[kind]
    start, policy = (train_policy(observation, env_steps=steps, seed=0) for steps in (BATCH_STEPS, 200))
    assert policy.returns.shape == (2, NUM_ARMS)
    # The first batch is drawn before anything is learned.
    assert (policy.returns[0] == start.returns[0]).all()
    for part in ("actor", "critic"):
        assert (numbers_of(getattr(start.agent, part)) != numbers_of(getattr(policy.agent, part))).any()
    assert policy.num_parameters > 10_000
    distances = policy.final_distances(num_episodes=3, seed=5)
    assert distances.shape == (3,) and (distances == policy.final_distances(num_episodes=3, seed=5)).all()
    assert (distances != policy.final_distances(num_episodes=3, seed=6)).all()
    assert (numbers_of(model) == before).all() and all(parameter.grad is None for parameter in model.parameters())


def test_equal_seeds_give_equal_trainings_and_others_do_not(few_arms):
    first, again, other = (train_policy(TrueState(), env_steps=200, seed=seed) for seed in (1, 1, 2))
    assert first.returns.tobytes() == again.returns.tobytes()
    assert (numbers_of(first.agent.actor) == numbers_of(again.agent.actor)).all()
    assert (first.returns != other.returns).all()


def test_steps_are_rounded_up_to_whole_batches_of_episodes(few_arms):
    assert train_policy(TrueState(), env_steps=BATCH_STEPS + 1, seed=0).returns.shape == (2, NUM_ARMS)


def test_ends_of_episodes_are_limits_of_time_and_not_ends_of_the_task():
    env = ArmVecEnv(ReachingVectorEnv(TrueState(), num_envs=2))
    env.seed(4)
    observations = env.reset()
    assert (observations == ReachingVectorEnv(TrueState(), num_envs=2).reset(seed=4)[0]).all()
    total = np.zeros(2)
    for step in range(1, EPISODE_STEPS + 1):
        observations, rewards, dones, infos = env.step(np.full((2, 3), 0.3, np.float32))
        total += rewards
        assert dones.tolist() == [step == EPISODE_STEPS] * 2
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert all((info["terminal_observation"] != seen).any() for info, seen in zip(infos, observations, strict=True))
    assert env.returns[0] == pytest.approx(total, abs=1e-6) and len(env.returns) == 1


@pytest.mark.slow
def test_a_policy_that_sees_the_true_state_learns_to_reach():
    """The hand starts 0.87 m from the ball in the mean, and 0.21 m remain after the steps that come nearest at once."""
    policy = train_policy(TrueState(), env_steps=4000, seed=0)
    assert policy.returns[0].mean() < 0.2 and policy.returns[-3:].mean() > 0.4
    assert policy.final_distances(num_episodes=32, seed=10**6).mean() < 0.5
