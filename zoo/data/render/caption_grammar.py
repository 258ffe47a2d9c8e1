"""Captioned rooms: two or three objects in named colours, and a grammar that describes where they are.

After the data of Ramalho et al., Encoding Spatial Relations from Natural Language (SLIM), arXiv 1807.01670, 2018:
scenes of two or three solid objects, ten views, and a description from every viewpoint. No two objects of a scene have
the same colour, so that a colour with a shape names exactly one of them. The objects are nearer to the middle than in
``rooms_ring_camera``: the centre of each is in every image of the ring, though another object may hide it.

A caption has one sentence for each fact. The order of the sentences, the order of the two objects (with the inverse
relation), the phrase of the relation, the pattern of the sentence and the nouns are random, so that the same facts have
many wordings. Every caption states all of the facts, nothing else, and fits into ``CAPTION_LENGTH`` bytes. A single fact
is stated from either object, so that a caption has two to four sentences.

Relations are those of the ground plane in the frame of the camera: *left* and *right* across its line of sight, *in
front* and *behind* along it (in front is nearer to the camera), *near* and *far* by the distance between the middles of
two objects, which no viewpoint changes: below ``NEAR`` and above ``FAR`` scene units, and neither between them. They
hold whether or not the camera sees the objects: hidden ones, or those beside the image, are treated alike.

A relation is stated only where it is clear. Of left/right and in front/behind the dominant one (the larger part of the
offset between the two objects) always is; the other one where it is at least ``CLEAR`` scene units and ``CLEAR_SHARE``
of the dominant. For objects in the image, left and right then agree with the order of their columns: perspective can
turn that order round only where the offset across is less than tan(25 degrees) = 0.47 of the offset along.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.render.rng import choose, seeded, stable_hash
from zoo.data.render.scene import Scene, SceneObject, Triple
from zoo.data.source import CAPTIONS, ExtraShape
from zoo.errors import DataError

Relation = Literal["left", "right", "front", "behind", "near", "far"]

INVERSE: Mapping[Relation, Relation] = {
    "left": "right",
    "right": "left",
    "front": "behind",
    "behind": "front",
    "near": "near",
    "far": "far",
}

CLEAR = 0.25
CLEAR_SHARE = 0.55
NEAR, FAR = 1.2, 1.4
MAX_FACTS = 4  # as many as a caption has room for

CAPTION_LENGTH = 256  # bytes
FEWEST_OBJECTS = 2
OBJECT_REACH = 1.2

EXTRA_SHAPES: Mapping[str, ExtraShape] = {CAPTIONS: ExtraShape("uint8", (CAPTION_LENGTH,), per_view=True)}

PALETTE: Mapping[str, Triple] = {
    "red": (0.86, 0.10, 0.10),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (0.98, 0.90, 0.12),
    "green": (0.12, 0.62, 0.18),
    "cyan": (0.15, 0.85, 0.88),
    "blue": (0.14, 0.28, 0.95),
    "purple": (0.58, 0.20, 0.80),
    "pink": (1.00, 0.52, 0.76),
}

NOUNS: Mapping[str, tuple[str, ...]] = {
    "box": ("box", "cube", "block"),
    "sphere": ("sphere", "ball"),
    "cylinder": ("cylinder",),
    "capsule": ("capsule", "pill"),
    "cone": ("cone",),
    "icosahedron": ("icosahedron",),
    "triangle": ("triangle", "wedge", "prism"),
}

_PHRASES: Mapping[Relation, str] = {
    "left": "to the left of|left of|on the left of|on the left side of|on the left-hand side of|further to the left than",
    "right": "to the right of|right of|on the right of|on the right side of|on the right-hand side of|"
    "further to the right than",
    "front": "in front of|closer to us than|nearer to us than|closer to the camera than|nearer than|on this side of",
    "behind": "behind|in back of|beyond|further back than|farther away than|on the far side of",
    "near": "near|close to|not far from|a short way from|in the vicinity of|at a small distance from",
    "far": "far from|far away from|a long way from|well away from|some way off from|at a distance from",
}
PHRASES: Mapping[Relation, tuple[str, ...]] = {
    relation: tuple(phrases.split("|")) for relation, phrases in _PHRASES.items()
}

# {A} and {B} are the objects, {R} the phrase of the relation.
PRESENTING = ("there is {A} {R} {B}", "you can see {A} {R} {B}", "we see {A} {R} {B}", "{R} {B} there is {A}")
STATING = ("{A} is {R} {B}", "{A} stands {R} {B}", "{A} can be seen {R} {B}", "{R} {B} is {A}", "{R} {B} you find {A}")

SHORT_NAMES = 0.3  # how often an object that was named before is called "the red one"


class Fact(NamedTuple):
    """A relation of two objects of a scene: ``first`` is ``relation`` (of) ``second``."""

    relation: Relation
    first: int  # index into the objects of the scene
    second: int


def inverse(fact: Fact) -> Fact:
    """Returns the same fact with the two objects in the other order."""
    return Fact(INVERSE[fact.relation], fact.second, fact.first)


class _Pair(NamedTuple):
    """The relations of two objects in the ground plane, as seen from the camera; scene units."""

    dominant: Fact
    other: Fact
    greater: float  # of the offsets across and along the line of sight, the size of the dominant one
    lesser: float
    distance: float


def _pairs(scene: Scene, camera: np.ndarray) -> list[_Pair]:
    cosine, sine = math.cos(camera[3]), math.sin(camera[3])
    pairs = []
    for second, first in itertools.combinations(range(len(scene.objects)), 2):
        x, y = (scene.objects[first].centre[axis] - scene.objects[second].centre[axis] for axis in (0, 1))
        rightwards, away = x * sine - y * cosine, x * cosine + y * sine
        across = Fact("right" if rightwards > 0 else "left", first, second)
        along = Fact("behind" if away > 0 else "front", first, second)
        dominant, other = (across, along) if abs(rightwards) >= abs(away) else (along, across)
        lesser, greater = sorted((abs(rightwards), abs(away)))
        pairs.append(_Pair(dominant, other, greater, lesser, math.hypot(rightwards, away)))
    return pairs


def facts(scene: Scene, *, camera: np.ndarray) -> tuple[Fact, ...]:
    """Returns the facts that a caption states of a scene as seen by a camera [5].

    The dominant relation of every pair of objects; whether the closest pair is near or else the widest pair far; and
    the clearest of the other relations, up to ``MAX_FACTS`` in all.
    """
    pairs = _pairs(scene, camera)
    found = [pair.dominant for pair in pairs]
    closest, widest = min(pairs, key=lambda pair: pair.distance), max(pairs, key=lambda pair: pair.distance)
    if closest.distance < NEAR:
        found.append(closest.dominant._replace(relation="near"))
    elif widest.distance > FAR:
        found.append(widest.dominant._replace(relation="far"))
    clear = [pair for pair in pairs if pair.lesser >= max(CLEAR, CLEAR_SHARE * pair.greater)]
    found += [pair.other for pair in sorted(clear, key=lambda pair: -pair.lesser)]
    return tuple(found[:MAX_FACTS])


def colour_name(item: SceneObject) -> str:
    """Returns the name of the colour of an object.

    Raises:
        DataError: if the colour is not of the palette.
    """
    name = next((name for name, colour in PALETTE.items() if colour == item.colour), None)
    if name is None:
        raise DataError(f"objects: the colour {item.colour} has no name, expected one of {', '.join(PALETTE)}")
    return name


class _Names:
    """The names of the objects in one caption; each is introduced once."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self.rng = rng
        self.colours = [colour_name(item) for item in scene.objects]
        self.nouns = [choose(rng, NOUNS[item.shape]) for item in scene.objects]
        self.known: set[int] = set()

    def indefinite(self, index: int) -> str:
        """Introduces an object: a red sphere."""
        self.known.add(index)
        colour = self.colours[index]
        return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {self.nouns[index]}"

    def definite(self, index: int) -> str:
        """Names an object: the red sphere, or the red one if the caption has named it before."""
        short = index in self.known and self.rng.random() < SHORT_NAMES
        self.known.add(index)
        return f"the {self.colours[index]} {'one' if short else self.nouns[index]}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _sentence_of(rng: np.random.Generator, fact: Fact, names: _Names) -> str:
    relation, first, second = fact
    new = first not in names.known
    pattern = choose(rng, PRESENTING + STATING if new else STATING)
    objects = [("A", names.indefinite if new else names.definite, first), ("B", names.definite, second)]
    if pattern.startswith("{R}"):
        # The order of the calls is that of the words: only an object that was named before gets a short name.
        objects.reverse()
    words = {letter: name(index) for letter, name, index in objects}
    return _sentence(pattern.format(**words, R=choose(rng, PHRASES[relation])))


def _shortest(fact: Fact, scene: Scene) -> str:
    first, second = (
        f"the {colour_name(scene.objects[index])} {NOUNS[scene.objects[index].shape][0]}"
        for index in (fact.first, fact.second)
    )
    return _sentence(f"{first} is {min(PHRASES[fact.relation], key=len)} {second}")


def _caption(rng: np.random.Generator, scene: Scene, stated: Sequence[Fact]) -> str:
    order = [choose(rng, (fact, inverse(fact))) for fact in sorted(stated, key=lambda _: rng.random())]
    if len(order) == 1:
        order.append(inverse(order[0]))
    names = _Names(rng, scene)
    sentences = [_sentence_of(rng, fact, names) for fact in order]
    while len(caption := " ".join(sentences)) > CAPTION_LENGTH:
        longest = max(range(len(sentences)), key=lambda index: len(sentences[index]))
        sentences[longest] = _shortest(order[longest], scene)
    return caption


def check_describable(scene: Scene) -> None:
    """Checks that a scene has two objects or more, each in another colour of ``PALETTE``; raises DataError."""
    colours = [colour_name(item) for item in scene.objects]
    if len(colours) < 2 or len(set(colours)) < len(colours):
        raise DataError(
            f"objects: found the colours {', '.join(colours)}, expected two objects or more, each in a colour of its own"
        )


def paraphrases(scene: Scene, *, camera: np.ndarray, num: int) -> list[str]:
    """Returns different captions of a scene as seen by a camera.

    They depend on the scene and the camera alone; asking for more of them appends. The first one is the caption
    of the view in ``captioned_rooms``.

    Args:
        scene: two objects or more, each in another colour of ``PALETTE``.
        camera: [5], see ``zoo.data.camera``; rounded to float32 as it is stored.
        num: number of captions; there are thousands.

    Raises:
        DataError: if the scene cannot be described.
    """
    check_describable(scene)
    numbers = np.asarray(camera, np.float32)
    stated = facts(scene, camera=numbers)
    # Field by field: new fields of objects must not change the captions.
    objects = [(item.shape, item.centre, item.scale, item.turn, item.colour) for item in scene.objects]
    rng = seeded(stable_hash(repr((objects, numbers.tolist()))))
    wordings: list[str] = []
    while len(wordings) < num:
        caption = _caption(rng, scene, stated)
        if caption not in wordings:
            wordings.append(caption)
    return wordings


def encode_captions(captions: Sequence[str], length: int = CAPTION_LENGTH) -> np.ndarray:
    """Returns captions as [n, length] uint8, UTF-8 padded with zeros.

    Raises:
        DataError: if a caption is longer than ``length`` bytes or holds the character with code 0.
    """
    encoded = np.zeros((len(captions), length), np.uint8)
    for index, caption in enumerate(captions):
        data = caption.encode()
        if len(data) > length:
            raise DataError(f"captions[{index}]: takes {len(data)} bytes, expected at most {length}")
        if 0 in data:
            raise DataError(f"captions[{index}]: holds the character with code 0, which marks the end of a caption")
        encoded[index, : len(data)] = np.frombuffer(data, np.uint8)
    return encoded


def draw_captions(scene: Scene, cameras: np.ndarray) -> dict[str, np.ndarray]:
    """Returns a caption for every camera [V, 5]: the first wording of its view."""
    return {CAPTIONS: encode_captions([paraphrases(scene, camera=camera, num=1)[0] for camera in cameras])}
