"""Random numbers of scenes: one generator a scene, and the few ways in which scenes draw from it.

Only ``Generator.random`` is used, 53 bits of PCG64's stream, which numpy keeps the same from release to release; the
streams behind its other distributions may change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def stable_hash(text: str) -> int:
    """Returns 64 bits that depend on ``text`` alone, in every process and release (Python's own hash is salted)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def seeded(key: int | Sequence[int]) -> np.random.Generator:
    """Returns the generator of one number or several."""
    return np.random.Generator(np.random.PCG64(key))


def scene_generator(*, recipe: str, version: int, seed: int, split: str, index: int) -> np.random.Generator:
    """Returns the generator of one scene; another seed, split, index or recipe has another one."""
    return seeded([stable_hash(recipe), version, seed, stable_hash(split), index])


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draws a number between ``low`` and ``high``."""
    return low + (high - low) * rng.random()


def choose(rng: np.random.Generator, options: Sequence[Choice]) -> Choice:
    """Draws one of ``options``, each equally likely."""
    return options[int(rng.random() * len(options))]
