"""``gqn-zoo claims``: what it prints and writes, its exit codes, and the committed table."""

import csv
from pathlib import Path

import numpy as np
import pytest

from zoo.comparison.claim_file import load_claims
from zoo.comparison.claim_tables import claim_records, table_of_claims
from zoo.comparison.claims import judge_claims
from zoo.comparison.markup import to_markdown
from zoo.comparison.records import csv_of
from zoo.results.row import Metric, ResultRow
from zoo.results.store import load_rows, save_row

COMMITTED = Path(__file__).resolve().parents[2] / "results"
CLAIMS = """
version: 2
title: Claims of a test
data:
  rooms: {dataset: rooms, image_size: 32}
claims:
  - text: GQN is better than a model without context
    data: rooms
    contexts: 4
    variants: [gqn-tower]
    better_than: {variants: [vae]}
  - text: A model without context is better than GQN
    data: rooms
    contexts: 4
    variants: [vae]
    better_than: {variants: [gqn-tower]}
  - text: DRAW is better than GQN, says A | B
    data: rooms
    contexts: 4
    variants: [draw]
    better_than: {variants: [gqn-tower]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of results: three trainings of each of two variants, of which one is better by 3 nats, and claims."""
    folder = tmp_path_factory.mktemp("results")
    generator = np.random.default_rng(0)
    template = load_rows([COMMITTED / "quickstart" / "rows"])[0]
    scenes = generator.gamma(4.0, 3.0, 100)
    key = template.key.model_copy(update={"dataset": "rooms", "image_size": 32, "num_context": 4, "num_scenes": 100})
    for variant, shift in (("gqn-tower@small", 0.0), ("vae@small", 3.0)):
        own = scenes + shift + generator.normal(0, 0.3, 100)
        for seed in range(3):
            values = own + generator.normal(0, 0.05) + generator.normal(0, 0.1, 100)
            excess = Metric(value=float(values.mean()), n=100, unit="nats/target", higher_is_better=False)
            fields = {name: getattr(template, name) for name in ResultRow.model_fields} | {
                "id": "",
                "variant": variant,
                "key": key,
                "metrics": {"nelbo_excess": excess},
                "per_scene": {"scene": list(range(100)), "nelbo_excess": values.tolist()},
                "provenance": template.provenance.model_copy(update={"seed": seed}),
            }
            save_row(ResultRow(**fields), folder / "rows")
    (folder / "claims.yaml").write_text(CLAIMS, encoding="utf-8")
    return folder


def test_verdicts_are_printed_and_written_and_are_the_same_every_time(gqn_zoo, made, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Results\n<!-- claims:begin -->\nold\n<!-- claims:end -->\nafter\n", encoding="utf-8")
    words = ["claims", made, "--allow-missing", "--readme", readme, "-o", tmp_path / "claims.csv"]
    code, out, err = gqn_zoo(*words)
    assert code == 0 and "Claims of a test: 1 of 3 claims hold, 1 does not, 1 unknown" in out
    assert [line.split("  ")[0] for line in err.splitlines()] == [
        f"wrote {tmp_path / 'claims.csv'}",
        f"wrote the table into {readme}",
    ]
    text = readme.read_text(encoding="utf-8")
    assert "\nold\n" not in text and text.startswith("# Results\n<!-- claims:begin -->\n**Claims of a test")
    assert text.endswith("<!-- claims:end -->\nafter\n") and "says A \\| B" in text
    assert "gqn-tower@small − vae@small, excess NELBO" in text and "100 × 3" in text
    with (tmp_path / "claims.csv").open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert [record["claim_verdict"] for record in records] == ["holds", "does not hold", "unknown"]
    assert float(records[0]["low"]) < float(records[0]["difference"]) < float(records[0]["high"]) < 0
    assert float(records[0]["difference"]) == -float(records[1]["difference"])
    written = [path.read_bytes() for path in (readme, tmp_path / "claims.csv")]
    assert gqn_zoo(*words).out == out
    assert [path.read_bytes() for path in (readme, tmp_path / "claims.csv")] == written


def test_a_refuted_claim_fails_when_asked_to(gqn_zoo, made, tmp_path):
    code, _, err = gqn_zoo("claims", made, "--allow-missing", "--fail")
    assert code == 1 and "--fail: 1 claim does not hold" in err
    only = tmp_path / "claims.yaml"
    only.write_text(CLAIMS[: CLAIMS.index("  - text: A model without")], encoding="utf-8")
    assert gqn_zoo("claims", made / "rows", "--claims", only, "--fail").code == 0
    # One training bears nothing out, and refutes nothing.
    single = next((made / "rows").glob("*vae*")), next((made / "rows").glob("*gqn*"))
    code, out, _ = gqn_zoo("claims", *single, "--claims", only, "--fail")
    assert code == 0 and "undecided" in out and "(one seed)" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["claims", "{made}"],
            "claims.yaml: claim 3 ('DRAW is better than GQN, says A | B'): no row of 'draw' on rooms",
        ),
        (["claims", "{made}/rows"], "rows/claims.yaml: no such file; name the file of claims with --claims"),
        (["claims", "{made}", "--claims", "none.yaml"], "none.yaml: cannot be read"),
        (["claims", "nowhere", "--claims", "{made}/claims.yaml"], "nowhere"),
        (["claims", "{made}", "--allow-missing", "-o", "claims.txt"], "expected a name that ends with .csv"),
        (["claims", "{made}", "--allow-missing", "--readme", "none.md"], "none.md: cannot be read"),
    ],
)
def test_mistakes_exit_with_2(gqn_zoo, made, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = gqn_zoo(*(word.replace("{made}", str(made)) for word in words))
    assert code == 2 and sentence in err.splitlines()[-1] and list(tmp_path.iterdir()) == []


def test_the_page_shows_the_claims_before_the_tables(gqn_zoo, made, tmp_path):
    page = tmp_path / "page.html"
    assert gqn_zoo("report", made, "-o", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.index('<h2 id="claims">') < text.index('<h2 id="tables">')
    assert "Claims of a test: 1 of 3 claims hold, 1 does not, 1 unknown." in text and "does not hold" in text
    assert 'href="#claims"' in text
    assert gqn_zoo("report", made, "-o", page, "--no-claims").code == 0
    assert "claims" not in page.read_text(encoding="utf-8").partition("</style>")[2].lower()


def test_the_committed_table_is_what_the_committed_rows_give():
    claims = load_claims(COMMITTED / "claims.yaml")
    judged = judge_claims(claims, load_rows([COMMITTED]), allow_missing=True)
    text = (COMMITTED / "README.md").read_text(encoding="utf-8")
    committed = text.partition("<!-- claims:begin -->\n")[2].partition("\n<!-- claims:end -->")[0]
    assert committed == to_markdown([table_of_claims(claims.title, judged)]).strip()
    assert (COMMITTED / "tables" / "claims.csv").read_text(encoding="utf-8") == csv_of(claim_records(judged))
