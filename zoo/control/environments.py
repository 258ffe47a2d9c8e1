"""Reaching as Gymnasium environments: one arm, or a batch of arms that are rendered together."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from zoo.control.observations import Observation
from zoo.control.reaching import MOVED_JOINTS, STEP_SECONDS, Camera, ReachingArms, RoomChoice

NAME = "gqn-zoo/Reaching-v0"  # for ``gymnasium.make`` and ``gymnasium.make_vec``
RENDERED_SIZE = 128  # pixels of ``render``
_METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1.0 / STEP_SECONDS)}
_BATCH_METADATA = {**_METADATA, "autoreset_mode": AutoresetMode.SAME_STEP}


def _action_space() -> Box:
    """Returns the velocities of the joints that move, in units of the largest."""
    return Box(-1.0, 1.0, (MOVED_JOINTS,), np.float32)


class ReachingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One arm, see :mod:`zoo.control.reaching`; episodes are truncated after ``EPISODE_STEPS`` steps and never terminate.

    ``info`` has the ``distance`` between hand and ball, metres.
    """

    metadata: dict[str, Any] = _METADATA

    def __init__(
        self,
        observation: Observation,
        *,
        camera: Camera = "fixed",
        room: RoomChoice = "fixed",
        render_mode: str | None = None,
    ) -> None:
        self.arms = ReachingArms(1, camera=camera, room=room)
        self.observe = observation
        self.observation_space, self.action_space = observation.space, _action_space()
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draws a new scene; there are no options."""
        super().reset(seed=seed)
        self.arms.reset([self.np_random])
        return self.observe(self.arms)[0], self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Moves the arm at joint velocities [3], -1 to 1."""
        (reward,) = self.arms.step(action[None])
        return self.observe(self.arms)[0], float(reward), False, self.arms.is_over, self._info()

    def render(self) -> np.ndarray | None:
        """Returns the image of the camera, [H, W, 3] uint8, if the render mode is ``rgb_array``."""
        return self.arms.frames(image_size=RENDERED_SIZE)[0] if self.render_mode == "rgb_array" else None

    def _info(self) -> dict[str, Any]:
        return {"distance": float(self.arms.distances[0])}


class ReachingVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N arms whose images are rendered and encoded together, each with the episodes of a :class:`ReachingEnv`.

    Arm i has the scenes of ``ReachingEnv`` with seed + i. All episodes end together; the next begin in the same step, whose
    ``info`` has ``final_obs`` and the ``final_info`` beside the ``distance`` [N], metres.
    """

    metadata: dict[str, Any] = _BATCH_METADATA

    def __init__(
        self, observation: Observation, *, num_envs: int, camera: Camera = "fixed", room: RoomChoice = "fixed"
    ) -> None:
        self.num_envs = num_envs
        self.arms = ReachingArms(num_envs, camera=camera, room=room)
        self.observe = observation
        self.single_observation_space, self.single_action_space = observation.space, _action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators = [np_random()[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draws new scenes; there are no options."""
        super().reset(seed=seed)
        if seed is not None:
            self._generators = [np_random(seed + index)[0] for index in range(self.num_envs)]
        self.arms.reset(self._generators)
        return self.observe(self.arms), {"distance": self.arms.distances}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Moves the arms at joint velocities [N, 3], -1 to 1."""
        rewards = self.arms.step(actions)
        is_over = np.full(self.num_envs, self.arms.is_over)
        observations = self.observe(self.arms)
        info: dict[str, Any] = {"distance": self.arms.distances}
        if self.arms.is_over:
            ended = {"final_obs": observations, "final_info": info}
            observations, info = self.reset()
            info |= ended
        return observations, rewards, np.zeros(self.num_envs, bool), is_over, info


gymnasium.register(
    NAME,
    entry_point=f"{__name__}:{ReachingEnv.__name__}",
    vector_entry_point=f"{__name__}:{ReachingVectorEnv.__name__}",
)
