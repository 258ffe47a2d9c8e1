"""Built-in scenes that are rendered where they are wanted: no disk, and no image passes through the host."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch

from zoo.data.device_cache import ResidentScenes, empty_scenes
from zoo.data.make import check_request
from zoo.data.source import ExtraShape, Split

SCENES_AT_A_TIME = 64


class RenderedScenes:
    """One split of a built-in data set: a :class:`zoo.data.source.SceneSource` whose scenes lie on a device.

    Scene i is scene i of the store that :func:`zoo.data.make.make_dataset` makes with the same arguments; images equal
    those of the store but for the rounding of the device. They are rendered when they are first asked for, and kept. A
    loader with ``residence="device"`` trains on them in place; ``read`` copies what it is asked for to the host.

    The revision names recipe, version, seed and sizes, so that it differs from that of a store of the same scenes, which
    names the bytes.

    Args:
        recipe: a name of ``zoo.data.render.recipes.RECIPES``.
        split: ``train``, ``validation`` or ``test``.
        num_scenes: how many scenes there are.
        image_size: height and width in pixels, a multiple of 4; of no effect on data without images.
        num_views: images of every scene; None takes as many as the published data set has.
        seed: another seed gives other scenes.
        device: where scenes are rendered and lie.

    Raises:
        DataError: if an argument is not valid.
    """

    def __init__(
        self,
        recipe: str,
        *,
        split: Split,
        num_scenes: int,
        image_size: int = 64,
        num_views: int | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        found = check_request(
            recipe,
            num_scenes={split: num_scenes},
            image_size=image_size,
            num_views=num_views,
            seed=seed,
            device=device,
        )
        self._recipe = dataclasses.replace(found, num_views=num_views or found.num_views)
        self._seed = seed
        self._device = torch.device(device)
        self._scenes: ResidentScenes | None = None
        self.name: str = found.name
        self.split: Split = split
        self.num_scenes: int = num_scenes
        self.num_views: int = self._recipe.num_views
        self.image_size: int = image_size if found.has_images else 0
        self.extras: Mapping[str, ExtraShape] = found.extras(image_size=self.image_size)
        facts = ["rendered", found.name, found.version, seed, self.num_views, self.image_size]
        self.revision: str = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def scenes_on(self, device: torch.device | str) -> ResidentScenes:
        """Returns the whole split, rendered on the source's own device, on a device; see :class:`MadeOnDevice`."""
        if self._scenes is None:
            self._scenes = self._rendered()
        frames, cameras, extras = self._scenes
        return ResidentScenes(
            frames.to(device), cameras.to(device), {name: extra.to(device) for name, extra in extras.items()}
        )

    def _rendered(self) -> ResidentScenes:
        scenes = empty_scenes(self, device=self._device)
        for first in range(0, self.num_scenes, SCENES_AT_A_TIME):
            indices = range(first, min(first + SCENES_AT_A_TIME, self.num_scenes))
            part = self._recipe.render(
                seed=self._seed,
                scene_indices=indices,
                split=self.split,
                image_size=self.image_size,
                device=self._device,
            )
            place = slice(indices.start, indices.stop)
            scenes.frames[place] = part.frames
            scenes.cameras[place] = part.cameras.to(self._device)
            for name, array in part.extras.items():
                scenes.extras[name][place] = torch.from_numpy(array).to(self._device)
        return scenes

    def read(self, scenes: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Copies some views of some scenes to the host; see :meth:`zoo.data.source.SceneSource.read`."""
        index = self._index(scenes, views)
        resident = self.scenes_on(self._device)
        return resident.frames[index].cpu().numpy(), resident.cameras[index].cpu().numpy()

    def read_extras(self, scenes: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Copies what else is known of some scenes to the host; see :meth:`zoo.data.source.SceneSource.read_extras`."""
        index = self._index(scenes, views)
        extras = self.scenes_on(self._device).extras
        return {
            name: extras[name][index if extra.per_view else index[0][:, 0]].cpu().numpy()
            for name, extra in self.extras.items()
        }

    def _index(self, scenes: np.ndarray, views: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = np.array(scenes)[:, None], np.array(views)
        return torch.from_numpy(rows).to(self._device), torch.from_numpy(columns).to(self._device)
