"""``gqn-zoo cards``: the committed pages are those of the registry and the rows."""

import re
from pathlib import Path

import pytest

from zoo.registry.registry import default_registry

ROOT = Path(__file__).resolve().parents[2]
CARDS = ROOT / "docs" / "cards"
ROWS = ROOT / "results"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """--registry sets a variable of the environment, which is restored after each test."""
    monkeypatch.setenv("GQN_ZOO_REGISTRY", "")


@pytest.fixture
def in_the_checkout(monkeypatch):
    """Links to strips are relative to the folder of the pages."""
    monkeypatch.chdir(ROOT)


def test_the_committed_cards_are_up_to_date(gqn_zoo, in_the_checkout, tmp_path):
    """They are written by: gqn-zoo cards results -o docs/cards."""
    folder = tmp_path / "cards"
    assert gqn_zoo("cards", ROWS, "-o", folder).code == 0
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(written) == {path.name for path in CARDS.iterdir()}
    for name, text in written.items():
        # Paths to strips depend on where the pages lie.
        assert _without_links(text) == _without_links((CARDS / name).read_text()), name
    assert set(written) == {"README.md", *(f"{name}.md" for name in default_registry().names() if "/" not in name)}


def _without_links(text):
    return re.sub(r"\]\([^)]*results/", "](results/", text)


def test_links_of_cards_are_there():
    links = [(page, link) for page in CARDS.iterdir() for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
    assert any(link.endswith(".png") for _, link in links)


def test_a_card_says_what_registry_rows_and_weights_say(gqn_zoo, tmp_path):
    registry, rows = tmp_path / "mine.yaml", sorted((ROWS / "rows").glob("*-gqn-tower_small-*.json"))[:1]
    registry.write_text(
        "version: 1\nvariants:\n  my-gqn:\n    base: gqn-tower\n    title: Mine\n    core: {steps: 7}\n"
        "    deviations: [Has seven steps.]\n    reference:\n"
        "      - {metric: 'mean absolute error, rooms', value: 3.5, unit: grey, source: A paper}\n"
    )
    code, _, _ = gqn_zoo("cards", *rows, "-o", tmp_path / "cards", "--registry", registry)
    assert code == 0
    mine = (tmp_path / "cards" / "my-gqn.md").read_text()
    assert "- Has seven steps." in mine and "- Changes of [`gqn-tower`](gqn-tower.md): `core.steps: 7`." in mine
    assert "| mean absolute error, rooms | 3.5 | not measured | grey | A paper |" in mine
    assert "No result is committed" in mine and "## Results" not in mine
    tower = (tmp_path / "cards" / "gqn-tower.md").read_text()
    assert "p(x^q | v^q, r) = int prod_l pi(z_l | z_<l, v^q, r)" in tower
    assert "| small | rooms_ring_camera test |" in tower and "No result is committed" not in tower
