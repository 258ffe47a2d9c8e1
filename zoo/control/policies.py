"""Policies that learn to reach, by soft actor-critic of stable-baselines3 (Haarnoja et al. 2018, arXiv 1801.01290).

The same algorithm and settings whatever the policy sees. Rewards are divided by the running standard deviation of the return.
Vectors go into multilayer perceptrons after normalisation by their running mean and variance, images into a convolutional
network of about as many parameters as that of r (stable-baselines3's own, of Mnih et al. 2015, needs 36 pixels or more).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3 import SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage
from torch import Tensor, nn

from zoo.control.environments import ReachingVectorEnv
from zoo.control.observations import Observation
from zoo.control.reaching import EPISODE_STEPS, MOVED_JOINTS, Camera, RoomChoice

NUM_ARMS = 16  # moved together
BATCH_STEPS = NUM_ARMS * EPISODE_STEPS  # environment steps of a batch of episodes, the unit of training
HIDDEN_UNITS = (64, 64)
FEATURES = 128  # of the convolutional network
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 64,
    "gamma": 0.6,  # to come nearer now is nearly always right, and is learned from few steps
    "tau": 0.02,
    "ent_coef": "auto_0.05",
    "learning_starts": BATCH_STEPS,
    "train_freq": 1,
    "gradient_steps": NUM_ARMS // 2,  # after a step of all arms
}


class SmallCnn(BaseFeaturesExtractor):
    """Features of small images: convolutions with 16, 32 and 32 channels, then a linear layer."""

    def __init__(self, observation_space: Box, features_dim: int = FEATURES) -> None:
        """Takes the space of images [C, H, W] of 24 pixels or more."""
        super().__init__(observation_space, features_dim)
        convolutions = [nn.LazyConv2d(16, 4, stride=2), nn.Conv2d(16, 32, 4, stride=2), nn.Conv2d(32, 32, 3)]
        layers = [layer for each in convolutions for layer in (each, nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(features_dim), nn.ReLU())
        self.layers(torch.zeros(1, *observation_space.shape))

    def forward(self, observations: Tensor) -> Tensor:
        """Returns the features [B, D] of images [B, C, H, W] in [0, 1]."""
        features: Tensor = self.layers(observations)
        return features


class ArmVecEnv(VecEnv):
    """A batch of arms with the interface of stable-baselines3; ``returns`` has those of every batch of episodes, [N] each."""

    def __init__(self, env: ReachingVectorEnv) -> None:
        self.env = env
        self.returns: list[np.ndarray] = []
        self._actions, self._return = np.zeros((env.num_envs, MOVED_JOINTS)), np.zeros(env.num_envs)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Begins episodes, with the seed of ``seed`` the first time."""
        observations, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._return = np.zeros(self.num_envs)
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions [N, 3] for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Moves the arms; at the end of the episodes ``infos`` have the last observations and say that time was up."""
        observations, rewards, _, truncated, info = self.env.step(self._actions)
        self._return = self._return + rewards
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if truncated.all():
            infos = [{"terminal_observation": last, "TimeLimit.truncated": True} for last in info["final_obs"]]
            self.returns.append(self._return)
            self._return = np.zeros(self.num_envs)
        return observations, rewards.astype(np.float32), truncated, infos

    def close(self) -> None:
        """Closes the arms."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute of the batch for each of some arms."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the batch, which has one for all arms."""
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **options: Any) -> list[Any]:
        """Calls a method of the batch once; returns the result for each of some arms."""
        return [getattr(self.env, method_name)(*args, **options)] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Returns that no arm is wrapped."""
        return [False for _ in self._get_indices(indices)]


class TrainedPolicy(NamedTuple):
    """A policy with the returns of its training."""

    agent: SAC
    observation: Observation
    camera: Camera
    room: RoomChoice
    returns: np.ndarray  # [batches, N], metres; those of batch k after (k + 1) * BATCH_STEPS environment steps

    @property
    def num_parameters(self) -> int:
        """Of the actor and the critics that are trained."""
        trained = (self.agent.actor, self.agent.critic)
        return sum(parameter.numel() for part in trained for parameter in part.parameters())

    def final_distances(self, *, num_episodes: int, seed: int) -> np.ndarray:
        """Returns the distances between hand and ball after episodes with the most likely actions, [episodes] metres."""
        env = ReachingVectorEnv(self.observation, num_envs=num_episodes, camera=self.camera, room=self.room)
        normalised = self.agent.get_vec_normalize_env()
        assert normalised is not None, "see train_policy"
        observations, info = env.reset(seed=seed)
        for _ in range(EPISODE_STEPS):
            actions, _ = self.agent.predict(normalised.normalize_obs(observations), deterministic=True)
            observations, _, _, _, info = env.step(actions)
        distances: np.ndarray = info["final_info"]["distance"]
        return distances


def train_policy(
    observation: Observation,
    *,
    env_steps: int,
    seed: int,
    camera: Camera = "fixed",
    room: RoomChoice = "fixed",
    device: torch.device | str = "cpu",
) -> TrainedPolicy:
    """Trains a policy for ``env_steps`` environment steps, rounded up to whole batches of episodes.

    The seed decides the initial weights, the scenes and the noise; the trainings of several observations see the same scenes.
    """
    arms = ArmVecEnv(ReachingVectorEnv(observation, num_envs=NUM_ARMS, camera=camera, room=room))
    sees_images = observation.space.dtype == np.uint8
    # Stable-baselines3 would transpose images outside of the normalisation, which keeps them as they were.
    seen = VecTransposeImage(arms) if sees_images else arms
    env = VecNormalize(seen, norm_obs=not sees_images, gamma=SETTINGS["gamma"])
    extractor = {"features_extractor_class": SmallCnn} if sees_images else {}
    total = -(-env_steps // BATCH_STEPS) * BATCH_STEPS
    agent = SAC(
        "CnnPolicy" if sees_images else "MlpPolicy",
        env,
        buffer_size=total,
        policy_kwargs={"net_arch": list(HIDDEN_UNITS), **extractor},
        seed=seed,
        device=device,
        **SETTINGS,
    ).learn(total)
    return TrainedPolicy(agent, observation, camera, room, np.array(arms.returns))
