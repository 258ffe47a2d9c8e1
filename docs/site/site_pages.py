"""Sphinx extension: turns the Markdown pages of the repository into pages of the site.

Four changes are made to a page's text before it is parsed, so that the file itself stays plain Markdown:

- the lists of links in ``docs/README.md`` become the navigation; pages that no list names are appended to it;
- links to files that are no pages (code, results, folders) become links to the code host;
- a line ``<!-- insert: NAME -->`` is replaced by what ``site_reference.py`` generates under that name, and
  ``<!-- source: FILE -->`` by a Python file of the repository;
- ``examples/*.py`` in percent format become prose and code blocks.

After the build ``external-links.txt`` lists all links that leave the site; they are not fetched.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import site_reference
from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

INDEX = "docs/README"
HOST = "https://github.com/gqn-zoo/gqn-zoo"
IMAGES = {".png", ".svg", ".gif", ".jpg"}
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)
INSERT = re.compile(r"^<!-- insert: ([a-z-]+) -->$", re.MULTILINE)
SOURCE = re.compile(r"^<!-- source: ([\w./-]+) -->$", re.MULTILINE)
UNLISTED = "Further pages"


def percent_to_markdown(text: str) -> str:
    """Returns a script in percent format as Markdown: cells ``# %% [markdown]`` as prose, ``# %%`` as Python blocks."""
    pages: list[str] = []
    for cell in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if kind.strip() == "[markdown]":
            pages.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            pages.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(pages) + "\n"


def sections(text: str, *, folder: str) -> dict[str, dict[str, str]]:
    """Returns the pages that every section of the index lists: heading -> path from the root without suffix -> text of its link."""
    found: dict[str, dict[str, str]] = {}
    for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = block.partition("\n")
        pages = found[heading.strip()] = {}
        for title, target in re.findall(r"^- \[([^\]]+)\]\(([^)#:\s]+)\)", body, flags=re.MULTILINE):
            page = Path(posixpath.normpath(posixpath.join(folder, target)))
            pages[str(page.with_suffix(""))] = title
    return found


def navigation(text: str, *, documents: set[str]) -> str:
    """Returns the tables of contents of the site, one for each section of the index."""
    listed = {
        heading: [f"{title} </{page}>" for page, title in pages.items()]
        for heading, pages in sections(text, folder=posixpath.dirname(INDEX)).items()
    }
    named = {page for pages in sections(text, folder=posixpath.dirname(INDEX)).values() for page in pages}
    if rest := sorted(documents - named - {INDEX}):
        listed[UNLISTED] = [f"/{page}" for page in rest]
    trees = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *entries, "```"])
        for heading, entries in listed.items()
    ]
    return "\n\n".join(trees)


def link_to_host(text: str, *, page: str, root: Path, documents: set[str]) -> str:
    """Returns a page's text in which links to files of the repository that are no pages go to the code host."""

    def change(match: re.Match[str]) -> str:
        path, hash_sign, anchor = match[1].partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        place = root / target
        is_page = str(Path(target).with_suffix("")) in documents and place.suffix in (".md", ".py")
        if not path or "://" in path or is_page or place.suffix in IMAGES or not place.exists():
            return match[0]
        return f"]({HOST}/{'tree' if place.is_dir() else 'blob'}/main/{target}{hash_sign}{anchor})"

    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(change, part) for part in parts)


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Changes the text of a page before it is parsed."""
    root, documents = Path(app.srcdir), app.env.found_docs
    text = source[0]
    if app.env.doc2path(page).suffix == ".py":
        text = percent_to_markdown(text)
    text = SOURCE.sub(lambda match: f"```python\n{(root / match[1]).read_text(encoding='utf-8').strip()}\n```", text)
    text = INSERT.sub(lambda match: site_reference.GENERATED[match[1]](), text)
    text = link_to_host(text, page=page, root=root, documents=documents)
    if not re.search(r"^# ", text, flags=re.MULTILINE):
        listed = sections((root / f"{INDEX}.md").read_text(encoding="utf-8"), folder=posixpath.dirname(INDEX))
        titles = {path: title for pages in listed.values() for path, title in pages.items()}
        text = f"# {titles.get(page, page)}\n\n{text}"
    if page == INDEX:
        text += "\n" + navigation(text, documents=documents)
    source[0] = text


def escape_bars(app: Sphinx, what: str, name: str, documented: object, options: object, lines: list[str]) -> None:
    """Escapes the bars of formulas such as p(x | z) in docstrings, which would be substitutions."""
    lines[:] = [line if "``" in line else re.sub(r"\|(?=\S)", r"\|", line) for line in lines]


def finish(app: Sphinx, error: Exception | None) -> None:
    """Writes the list of external links, and a first page that leads to the index."""
    if error is not None or app.builder.name != "html":
        return
    found = {
        node["refuri"]
        for page in app.env.found_docs
        for node in app.env.get_doctree(page).findall(nodes.reference)
        if "://" in node.get("refuri", "")
    }
    site = Path(app.outdir)
    (site / "external-links.txt").write_text("\n".join(sorted(found)) + "\n", encoding="utf-8")
    forward = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={INDEX}.html">'
    (site / "index.html").write_text(f"{forward}<title>GQN zoo</title>\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects the extension."""
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
