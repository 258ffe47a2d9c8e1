"""Files of claims: what the rows of a results folder are expected to show, in words and as comparisons.

A claim selects results by variants, context views and metric, and says what they are better than, or the same as::

    - {text: GQN beats a VAE, data: rooms, contexts: 4, variants: ["gqn-*"], better_than: {variants: [vae]}}
    - {text: More views help, data: rooms, contexts: 4, variants: [gqn], better_than: {contexts: 1}}
    - {text: The context is used, data: rooms, contexts: 4, variants: [gqn], better_than: {metric: wrong_context_nelbo_excess}}
    - {text: GQN learns, data: rooms, contexts: 4, variants: [gqn], better_than: {baselines: [mean-image]}}
    - {text: "A control", data: rooms, contexts: 4, variants: [gqn], same_as: [gqn-copy]}

Claims may be put into families, which are tested in the order of the file's ``families``: if a claim of a family does not
hold, the claims of later families are exploratory.

``gqn-zoo claims FOLDER`` judges ``FOLDER/claims.yaml``. Claims may be written down before a suite is run: with
``--allow-missing`` a claim without rows is unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from zoo.config.settings import Settings, load_yaml, parse
from zoo.errors import ConfigError, did_you_mean

CLAIMS_FILE = "claims.yaml"

_Patterns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Views = Annotated[int, Field(ge=0)]


class DataChoice(Settings):
    """Which rows belong to a data set; a key that is not given does not matter."""

    dataset: str = Field(min_length=1, description="name in the rows")
    image_size: int | None = Field(default=None, ge=0, description="pixels of an image's side")
    revision: str | None = Field(default=None, min_length=4, description="or its first letters")
    task: str | None = Field(default=None, description="render, localise, regress, ...")
    split: str = Field(default="test", description="of the scenes")
    targets: int | None = Field(default=None, ge=1, description="targets per scene")
    likelihood: str | None = Field(default=None, description="name in the rows")
    sigma: float | None = Field(default=None, gt=0, description="of the likelihood")


class Other(Settings):
    """What the results of a claim are better than; exactly one of the first four keys is given.

    ``variants`` and ``baselines`` are other results with the same context views. ``contexts`` and ``metric`` are the same
    trained models, scored with fewer or more context views, or by another metric.
    """

    variants: _Patterns | None = Field(default=None, description="names or patterns such as gqn-*")
    baselines: _Patterns | None = Field(default=None, description="names or patterns such as mean-image")
    contexts: _Views | None = Field(default=None, description="context views")
    metric: str | None = Field(default=None, description="name in the rows")
    across_tasks: bool = Field(default=False, description="the variants may have another task with the same targets")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("variants", "baselines", "contexts", "metric") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of variants, baselines, contexts and metric, found {len(given)}")
        return self


class Claim(Settings):
    """One claim: every selected result is better than, or the same as, every other one that is named."""

    text: str = Field(min_length=1, description="the claim in words")
    data: str = Field(description="name of one of the file's data")
    contexts: _Views = Field(description="context views")
    family: str | None = Field(default=None, description="name of one of the file's families")
    variants: _Patterns = Field(description="names or patterns such as gqn-*")
    exclude: list[str] = Field(default=[], description="variants, names or patterns, that no pattern selects")
    metric: str = Field(default="nelbo_excess", description="name in the rows")
    better_than: Other | None = Field(default=None, description="the other results; null: there is same_as")
    same_as: _Patterns | None = Field(default=None, description="variants between which no difference is established")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.better_than is None) == (self.same_as is None):
            raise ValueError("either 'better_than' or 'same_as'")
        if self.better_than is not None and self.better_than.contexts == self.contexts:
            raise ValueError(f"another number of contexts than {self.contexts} in 'better_than'")
        if self.better_than is not None and self.better_than.metric == self.metric:
            raise ValueError(f"another metric than {self.metric!r} in 'better_than'")
        return self


class _File(Settings):
    version: Literal[2] = Field(description="of this format")
    title: str = Field(default="Claims", min_length=1, description="of the table")
    data: dict[str, DataChoice] = Field(min_length=1, description="name -> which rows belong to it")
    families: list[str] = Field(default=[], description="names of the families, the first to be tested first")
    claims: list[Claim] = Field(min_length=1, description="the claims")


class Claims(NamedTuple):
    """A validated file of claims."""

    file: str
    title: str
    data: dict[str, DataChoice]
    claims: list[Claim]
    families: tuple[str, ...] = ()  # in the order in which they are tested; none: all claims are one family

    def place(self, number: int) -> str:
        """Returns where a claim is, for an error: the file and the number, which counts from 1."""
        return f"{self.file}: claim {number} ({self.claims[number - 1].text!r})"


def load_claims(path: Path) -> Claims:
    """Reads a file of claims.

    Raises:
        ConfigError: naming file, key, what was found and what was expected.
    """
    raw = load_yaml(path)
    if raw.get("version") == 1:  # before the keys, which have changed
        raise ConfigError(
            f"{path}: version: found 1 (int), expected 2, in which a claim names its variants and what they are better_than"
        )
    found = parse(_File, raw, file=str(path))
    families: list[str | None] = [*found.families] or [None]
    if len(set(families)) < len(families):
        raise ConfigError(f"{path}: families: found {', '.join(found.families)}, expected different names")
    texts = [claim.text for claim in found.claims]
    for index, claim in enumerate(found.claims):
        where = f"{path}: claims.{index}"
        if claim.data not in found.data:
            raise ConfigError(f"{where}.data: there is no data {claim.data!r}{did_you_mean(claim.data, found.data)}")
        if claim.text in texts[:index]:
            raise ConfigError(f"{where}.text: {claim.text!r} occurs twice, expected different texts")
        if claim.family not in families:
            raise ConfigError(
                f"{where}.family: found {claim.family!r}, expected one of families: {', '.join(found.families) or 'none'}"
            )
    return Claims(str(path), found.title, found.data, found.claims, tuple(found.families))
