"""The page that shows every analysis: its figures, its first number with an interval, and its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zoo.analysis.catalogue import ANALYSES, Analysis
from zoo.analysis.claims import Claim
from zoo.comparison.markup import escape_markdown
from zoo.config.settings import first_problem
from zoo.errors import ResultError
from zoo.files import sha256_of, write_text, writing_file

WIDTH, COLOURS = 800, 256  # at most, of the copies of figures
SOURCE = "Source"  # key of the SHA-256 of the figure in its copy
HEAD = """# Gallery of the analyses

Every analysis of `gqn-zoo analyse` with its figures and the first of its claims that has an interval (95 %). The claims of
papers that they test are judged in [claims of the papers](explanation/papers.md) and [what a representation holds](explanation/representation.md). This page and
its figures are written by `gqn-zoo analyse --gallery docs/gallery.md -o results/analyses` from the files in that folder.
"""


class AnalysisRecord(pydantic.BaseModel):
    """What the page needs of the JSON file of an analysis."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)

    models: list[dict[str, Any]] | dict[str, Any]  # with labels, or by labels
    data: dict[str, str]
    scenes: int
    claims: list[Claim]
    provenance: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        """The names of the models."""
        return [each if isinstance(each, str) else each["label"] for each in self.models]


def write_gallery(page: Path, *, results: Path) -> list[str]:
    """Writes the page and copies of the figures in a folder of its name beside it.

    Args:
        page: the Markdown file.
        results: the folder of the files of analyses.

    Returns:
        The analyses without results, which the page lists by their needs.

    Raises:
        ResultError: naming file and field, if a file of results is damaged or a figure is missing.
        DiskFullError: if something cannot be written.
    """
    records = {name: read_record(path) for name in ANALYSES if (path := results / f"{name}.json").is_file()}
    sections = []
    for name, analysis in ANALYSES.items():
        figures = figures_of(name, results=results) if name in records else []
        for figure in figures:
            copy_figure(figure, page.with_suffix("") / figure.name)
        links = [f"![{figure.stem}]({page.stem}/{figure.name})" for figure in figures]
        sections.append(section_of(name, analysis, records.get(name), links=links))
    write_text(page, "\n".join([HEAD, *sections]))
    return [name for name in ANALYSES if name not in records]


def read_record(path: Path) -> AnalysisRecord:
    """Reads the JSON file of an analysis; raises ResultError, naming file and field, if it is damaged."""
    try:
        return AnalysisRecord.model_validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        raise ResultError(f"{path}: {first_problem(error)}") from error


def figures_of(name: str, *, results: Path) -> list[Path]:
    """Returns the figure of an analysis, then its sheets in alphabetical order; raises ResultError if there is none."""
    figure = results / f"{name}.png"
    if not figure.is_file():
        raise ResultError(f"{figure}: is missing, expected the figure of {name}.json beside it")
    return [figure, *sorted(results.glob(f"{name}-*.png"))]


def copy_figure(figure: Path, copy: Path) -> None:
    """Writes a small copy of a figure, in few colours, with the SHA-256 of the figure as its text ``SOURCE``."""
    with Image.open(figure) as opened:
        image = opened.convert("RGB")
    image.thumbnail((WIDTH, image.height), Image.Resampling.LANCZOS)
    source = PngInfo()
    source.add_text(SOURCE, sha256_of(figure))
    with writing_file(copy) as temporary:
        image.quantize(COLOURS).save(temporary, format="PNG", optimize=True, pnginfo=source)


def section_of(name: str, analysis: Analysis, record: AnalysisRecord | None, *, links: list[str]) -> str:
    """Returns the part of the page about an analysis."""
    text = [f"## {name}", "", f"**{escape_markdown(analysis.title)}** ({escape_markdown(analysis.paper)}).", ""]
    if record is None:
        return "\n".join([*text, f"No results yet: needs {analysis.needs}; `gqn-zoo analyse {name} RUN`.", ""])
    models = ", ".join(f"`{label}`" for label in record.labels)
    text += [f"{finding_of(record)} Models: {models}; data: `{record.data['name']}`.", ""]
    # Where the command was not recorded, one that makes such results.
    text += ["```bash", str(record.provenance.get("command") or f"gqn-zoo analyse {name}"), "```", ""]
    for link in links:
        text += [link, ""]
    return "\n".join(text)


def finding_of(record: AnalysisRecord) -> str:
    """Returns the first claim with an interval, and how many hold."""
    holding = f"{sum(claim.holds for claim in record.claims)} of {len(record.claims)} claims hold."
    claim = next((claim for claim in record.claims if claim.low is not None), None)
    if claim is None or claim.mean is None or claim.high is None:
        return holding
    unit = f" {claim.unit}" if claim.unit else ""
    verdict = "holds" if claim.holds else "does not hold"
    return (
        f"*{escape_markdown(claim.text)}*: {verdict}, **{claim.mean:+.3g}{escape_markdown(unit)}** "
        f"({claim.low:+.3g} to {claim.high:+.3g}), {claim.scenes} {claim.paired_over}. {holding}"
    )
