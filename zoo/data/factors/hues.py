"""Named hues: one name for every colour, by the nearest of eight angles on the colour circle.

The names are those of the colours of ``captioned_rooms``, so that captions and factors use the same words.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

HueName = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "grey"]

# Angles on the colour circle of HSV, degrees.
HUES: Mapping[HueName, float] = MappingProxyType(
    {
        "red": 0.0,
        "orange": 30.0,
        "yellow": 55.0,
        "green": 120.0,
        "cyan": 180.0,
        "blue": 230.0,
        "purple": 280.0,
        "pink": 330.0,
    }
)
SMALLEST_CHROMA = 0.04  # largest minus smallest of red, green and blue, below which a colour is called grey


def hue_of(colour: tuple[float, float, float]) -> HueName:
    """Returns the nearest named hue of a colour (red, green, blue; 0 to 1), or ``grey`` if it has hardly any hue."""
    if max(colour) - min(colour) < SMALLEST_CHROMA:
        return "grey"
    angle = 360.0 * colorsys.rgb_to_hsv(*colour)[0]

    def distance(name: HueName) -> float:
        return abs((angle - HUES[name] + 180.0) % 360.0 - 180.0)

    return min(HUES, key=distance)


assert {*HUES, "grey"} == set(get_args(HueName)), "every name has an angle"
