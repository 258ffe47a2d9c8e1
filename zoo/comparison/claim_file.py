"""A file of claims: what a folder of results concludes, in words, and where the rows are that have to bear it out.

The file is YAML and checked as strictly as the registry. A claim is of one of five kinds:

* ``below``: every variant of ``lower`` has less of a metric than every variant of ``higher``, with the same context;
* ``context_helps``: each variant is better with ``more`` context views than with ``fewer``;
* ``same``: between the variants no difference is found (a control: of equals a judge must find none);
* ``passes``: each variant is better than each reference, which has no weights;
* ``below_own``: of each variant ``metric`` is less than ``than``, both measured in the same rows.

Scenes of use:

* After a suite has run: ``gqn-zoo conclude results --readme results/README.md`` judges ``results/claims.yaml`` and puts
  the table where readers look; nobody transcribes a number.
* Before a suite is run: the claims are written down, and ``--allow-missing`` shows which have no rows yet. What is
  expected is then stated before it is known, and Holm's correction counts all of it.
* In continuous integration: ``gqn-zoo conclude results --fail`` leaves with 1 once new rows refute a claim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from zoo.config.settings import Settings, load_yaml, parse
from zoo.errors import ConfigError, did_you_mean

CLAIMS_FILE = "claims.yaml"

_Patterns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Views = Annotated[int, Field(ge=0)]


class DataChoice(Settings):
    """Which rows belong to a data set; what is null does not matter."""

    dataset: str = Field(min_length=1, description="name as it stands in the rows")
    image_size: int | None = Field(default=None, ge=0, description="pixels of a image's side")
    revision: str | None = Field(default=None, min_length=4, description="or its first letters")
    task: str | None = Field(default=None, description="render, localise, regress, ...")
    split: str = Field(default="test", description="part of the scenes that was measured")


class Statement(Settings):
    """What all kinds of claims have in common."""

    text: str = Field(min_length=1, description="the claim in words")
    data: str = Field(description="name of one of the file's data")
    metric: str = Field(default="nelbo_excess", description="name as it stands in the rows")
    targets: int | None = Field(default=None, ge=1, description="targets of an episode; null: whatever was measured")
    likelihood: str | None = Field(default=None, description="takes in rows of this likelihood alone")
    sigma: float | None = Field(default=None, gt=0, description="takes in rows of this standard deviation alone")
    exclude: list[str] = Field(default=[], description="variants, names or patterns, that no pattern takes in")


class Below(Statement):
    """Every variant of ``lower`` has less of the metric than every variant of ``higher``."""

    kind: Literal["below"]
    contexts: _Views = Field(description="context views")
    lower: _Patterns = Field(description="variants, names or patterns such as gqn-*")
    higher: _Patterns = Field(description="the same")
    any: bool = Field(default=False, description="one of the comparisons is enough")
    across: list[Literal["task"]] = Field(
        default=[],
        description="entries of the key by which the two sides may differ: task, where the same targets are predicted from "
        "other information, as by a model that is told no context at all",
    )


class ContextHelps(Statement):
    """Each variant is better with more context views; the targets of a scene do not depend on their number."""

    kind: Literal["context_helps"]
    fewer: _Views = Field(description="context views")
    more: _Views = Field(description="context views")
    variants: _Patterns = Field(description="names or patterns")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.fewer >= self.more:
            raise ValueError(f"fewer < more, found {self.fewer} and {self.more}")
        return self


class Same(Statement):
    """Between any two of the variants no difference is found, or none outside of +-within is possible."""

    kind: Literal["same"]
    contexts: _Views = Field(description="context views")
    variants: _Patterns = Field(description="names or patterns; at least two variants must be found")
    within: float | None = Field(
        default=None,
        gt=0,
        description="in the metric's unit: every 95% interval must lie in +-within, which says that they are alike; without "
        "it the claim holds where no difference is established, for which few scenes are enough",
    )


class Passes(Statement):
    """Each variant is better than each reference."""

    kind: Literal["passes"]
    contexts: _Views = Field(description="context views")
    variants: _Patterns = Field(description="names or patterns")
    references: _Patterns = Field(default=["*"], description="rows without weights, names or patterns: mean-image")


class BelowOwn(Statement):
    """Of each variant the metric is less than another metric of the same rows."""

    kind: Literal["below_own"]
    contexts: _Views = Field(description="context views")
    variants: _Patterns = Field(description="names or patterns")
    than: str = Field(description="the other metric")

    @model_validator(mode="after")
    def _two_metrics(self) -> Self:
        if self.than == self.metric:
            raise ValueError(f"another metric than {self.metric!r} as 'than'")
        return self


KINDS: dict[str, type[Statement]] = {
    "below": Below,
    "context_helps": ContextHelps,
    "same": Same,
    "passes": Passes,
    "below_own": BelowOwn,
}


class _File(Settings):
    version: Literal[1] = Field(description="of this format")
    title: str = Field(default="Claims", min_length=1, description="head of the table")
    data: dict[str, dict[str, Any]] = Field(min_length=1, description="name -> which rows belong to it")
    claims: list[dict[str, Any]] = Field(min_length=1, description="the claims")


class Claims(NamedTuple):
    """A file of claims, all of it checked."""

    file: str
    title: str
    data: dict[str, DataChoice]
    statements: tuple[Statement, ...]

    def place(self, number: int) -> str:
        """Returns where a claim stands, for an error: the file and the number, which counts from 1."""
        return f"{self.file}: claim {number} ({self.statements[number - 1].text!r})"


def load_claims(path: Path) -> Claims:
    """Reads a file of claims.

    Raises:
        ConfigError: naming file, key, what was found and what was expected.
    """
    file = str(path)
    settings = parse(_File, load_yaml(path), file=file)
    data = {name: parse(DataChoice, value, file=file, path=f"data.{name}") for name, value in settings.data.items()}
    statements: list[Statement] = []
    for index, values in enumerate(settings.claims):
        where = f"claims.{index}"
        if "kind" not in values:
            raise ConfigError(f"{file}: {where}.kind: this key is missing; known are {', '.join(KINDS)}")
        kind = values["kind"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigError(f"{file}: {where}.kind: there is no kind {kind!r}{did_you_mean(str(kind), KINDS)}")
        statement = parse(KINDS[kind], values, file=file, path=where)
        if statement.data not in data:
            raise ConfigError(
                f"{file}: {where}.data: there are no data {statement.data!r}{did_you_mean(statement.data, data)}"
            )
        if any(statement.text == other.text for other in statements):
            raise ConfigError(f"{file}: {where}.text: {statement.text!r} stands twice, expected claims that differ")
        statements.append(statement)
    return Claims(file=file, title=settings.title, data=data, statements=tuple(statements))
