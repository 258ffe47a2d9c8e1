"""The site: its navigation, what is generated for it, and its build."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"
for module in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(module)
sys.path.insert(0, str(SITE))
import site_pages as site  # noqa: E402
import site_reference as reference  # noqa: E402


def test_every_page_is_listed_in_the_navigation():
    listed = site.sections((ROOT / "docs" / "README.md").read_text(encoding="utf-8"), folder="docs")
    named = [page for pages in listed.values() for page in pages]
    assert len(named) == len(set(named))
    folders = [f"docs/{folder}" for folder in ("tutorials", "how-to", "explanation", "reference")]
    written = [path for folder in folders for path in (ROOT / folder).glob("*.md")]
    assert {str(path.relative_to(ROOT).with_suffix("")) for path in written} <= set(named)
    assert all(any((ROOT / f"{page}{suffix}").is_file() for suffix in (".md", ".py")) for page in named)


def test_a_page_that_no_list_names_is_appended():
    trees = site.navigation("## One\n\n- [a](a.md)\n", documents={"docs/README", "docs/a", "docs/gallery"})
    assert trees.count("{toctree}") == 2
    assert ":caption: One\n\na </docs/a>\n" in trees and f":caption: {site.UNLISTED}\n\n/docs/gallery\n" in trees


def test_links_to_files_that_are_no_pages_go_to_the_code_host(tmp_path):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "a.py").touch()
    text = "[code](../zoo/a.py#L3) [folder](../zoo) [page](b.md) [gone](../zoo/b.py)\n```\n[code](../zoo/a.py)\n```\n"
    changed = site.link_to_host(text, page="docs/a", root=tmp_path, documents={"docs/a", "docs/b"})
    assert f"[code]({site.HOST}/blob/main/zoo/a.py#L3) [folder]({site.HOST}/tree/main/zoo)" in changed
    assert "[page](b.md) [gone](../zoo/b.py)" in changed and "```\n[code](../zoo/a.py)\n```" in changed


def test_cells_become_prose_and_code():
    text = '# %% [markdown]\n# # Title\n#\n# Words.\n\n# %%\nprint("x")\n'
    assert site.percent_to_markdown(text) == '# Title\n\nWords.\n\n```python\nprint("x")\n```\n'


def test_every_insertion_of_a_page_is_generated_and_used():
    used = [
        name for path in (ROOT / "docs").rglob("*.md") for name in site.INSERT.findall(path.read_text(encoding="utf-8"))
    ]
    assert sorted(used) == sorted(reference.GENERATED)


@pytest.mark.parametrize(
    "name",
    ["tasks", "encoders", "cores", "likelihoods", "training-recipe", "registry-entry", "suite-file", "claims-file"],
)
def test_every_setting_has_a_type_and_a_meaning(name):
    rows = re.findall(r"^\| (`.*) \|$", reference.GENERATED[name](), flags=re.MULTILINE)
    cells = [re.split(r"(?<!\\) \| ", row) for row in rows]
    assert len(cells) > 1 or name == "tasks"
    assert [row[0] for row in cells if len(row) != 4 or not row[1].strip() or not row[3].strip()] == []


def test_the_commands_are_all_there():
    text = reference.GENERATED["commands"]()
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert "gqn-zoo train" in headings and "gqn-zoo data import" in headings
    assert "`-o, --output" in text and "--validation-interval" in text


@pytest.mark.docs
@pytest.mark.timeout(1800)
def test_the_site_is_built_without_warnings(tmp_path):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
        "-c",
        SITE,
        "-b",
        "html",
        ROOT,
    ]
    done = subprocess.run([*command, tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_text() for path in (tmp_path / "site").rglob("*.html")
    }
    assert "docs/reference/commands.html" in pages and "index.html" in pages
    loaded = [
        link
        for page in pages.values()
        for link in re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(http[^\"]*)", page)
    ]
    assert [link for link in loaded if "github.com" not in link] == []
    assert "https://github.com/google-deepmind/gqn-datasets" in (tmp_path / "site" / "external-links.txt").read_text()
