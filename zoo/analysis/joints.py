"""Pose regression: how well joints, hand and ball of the robot arm are linear functions of r.

Scenes of ``jaco`` or ``jaco_front`` are seen by the fixed camera of the reaching task and, apart from it, by N cameras of
the data, which differ from scene to scene. Linear probes (ridge regression, cross-validated over scenes) predict angles of
joints as sine and cosine, where a joint turns freely, and places in metres, from r, from latents of a VAE and from pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from zoo.analysis.claims import Claim, Expectation, conclude
from zoo.analysis.factors import FEWEST_ROOMS, SET_SIZES, probe
from zoo.analysis.findings import AnalysisInputs, Findings
from zoo.analysis.intervals import interval_findings, interval_of
from zoo.analysis.view_sets import Systems, missing_representation, read_view_sets, systems_of, usable_sizes
from zoo.control.reaching import FIXED_CAMERA
from zoo.data.factors.arm_factors import ArmFactors
from zoo.data.factors.parsing import parse_factors
from zoo.data.opening import Source
from zoo.data.render.jaco import SCALE, forward_kinematics
from zoo.data.render.raycaster import render
from zoo.data.render.scene import stack_scenes
from zoo.data.store import SceneStore
from zoo.errors import ConfigError, DataError

# setting -> system -> quantity -> scores [n], 1 - relative squared error
Scores = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]

missing = missing_representation


def run(given: AnalysisInputs) -> Findings:
    """Probes all systems given one view of the fixed camera, and given N views of the data's cameras.

    Raises:
        ConfigError: for fewer scenes than the probes' cross-validation needs.
        DataError: if the scenes do not say that they show an arm.
    """
    if given.num_scenes < FEWEST_ROOMS:
        raise ConfigError(f"joints: found {given.num_scenes} scenes, expected {FEWEST_ROOMS} or more to probe")
    arms = read_arms(given.scenes, num_scenes=given.num_scenes)
    systems, targets = systems_of(given), targets_of(arms)
    size = usable_sizes(given, systems, sizes=SET_SIZES)[0]
    sets = read_view_sets(given.scenes, num_scenes=given.num_scenes, num_views=size, seed=given.seed)
    given.log(f"{given.num_scenes} arms, seen by the fixed camera and by {size} others")
    fixed_frames, fixed_cameras = fixed_views(arms, image_size=given.scenes.image_size)
    views = {
        "one view of a fixed camera": (fixed_frames, fixed_cameras),
        f"{size} view(s) of drawn cameras": (sets.frames[:, 0], sets.cameras[:, 0]),
    }
    scores = {
        setting: {label: probe(describe(*seen), targets) for label, describe in systems.describe.items()}
        for setting, seen in views.items()
    }
    intervals = [
        interval_of(values, quantity=f"variance explained given {setting} (share)", case=name, series=label)
        for setting, found in scores.items()
        for label, explained in found.items()
        for name, values in explained.items()
    ]
    return interval_findings("joints", claims=joint_claims(scores, systems), intervals=intervals, level=0.0)


def read_arms(source: Source, *, num_scenes: int) -> list[ArmFactors]:
    """Reads the arms of the first scenes; raises DataError if the folder has none."""
    documents = []
    if isinstance(source, SceneStore) and source.has_factors:
        documents = source.read_factors(np.arange(num_scenes))
    arms = [parse_factors(document, origin=source.name) for document in documents]
    found = [arm for arm in arms if isinstance(arm, ArmFactors)]
    if len(found) < num_scenes:
        raise DataError(
            f"{source.name}: has no factors of a robot arm, expected a store of jaco that this version made"
        )
    return found


def fixed_views(arms: Sequence[ArmFactors], *, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Renders arms from the fixed camera: frames [n, 1, H, W, 3] uint8 and cameras [n, 1, 5]."""
    cameras = np.tile(np.array(FIXED_CAMERA, np.float32), (len(arms), 1, 1))
    scenes = stack_scenes([arm.scene() for arm in arms])
    return render(scenes, cameras=torch.from_numpy(cameras), image_size=image_size).numpy(), cameras


def targets_of(arms: Sequence[ArmFactors]) -> dict[str, np.ndarray]:
    """Returns what the probes predict, [n, K] each: sines and cosines or angles of joints, radians, and places, metres."""
    joints = np.array([arm.joints for arm in arms])
    foot, shoulder, elbow, wrist, fingers = np.split(joints, [1, 2, 3, 6], axis=1)
    return {
        "foot joint": np.concatenate([np.sin(foot), np.cos(foot)], axis=1),
        "shoulder joint": shoulder,
        "elbow joint": elbow,
        "wrist joints": np.concatenate([np.sin(wrist), np.cos(wrist)], axis=1),
        "fingers": fingers,
        "hand position": forward_kinematics(joints).joints[:, -1],
        "ball position": np.array([arm.target.position[:2] for arm in arms]) / SCALE,
    }


def joint_claims(scores: Scores, systems: Systems) -> list[Claim]:
    """Compares r with the other systems, scene by scene."""
    return conclude(
        [
            Expectation.less(
                f"{label}, {setting}: a linear probe knows less of {name} from {other} than from r",
                found[other][name],
                found[label][name],
                unit="of the variance",
            )
            for setting, found in scores.items()
            for label, other in systems.pairs
            for name in found[label]
        ]
    )
