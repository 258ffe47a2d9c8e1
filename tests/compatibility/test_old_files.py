"""Files of every released version are read, or refused in one sentence that says what to do: docs/compatibility.md."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.bench.suite.settings import load_suite
from zoo.cli.main import main
from zoo.comparison.claim_file import load_claims
from zoo.comparison.leaderboards import leaderboards_of
from zoo.config.settings import load_yaml
from zoo.data.source import SPLITS
from zoo.data.store import SceneStore
from zoo.errors import ZooError
from zoo.registry.registry import Registry
from zoo.registry.sources import RegistryFile
from zoo.registry.variant import resolve
from zoo.results.store import load_row, load_rows
from zoo.results.weights import Card
from zoo.viewer.saved_page import read_page

FILES = Path(__file__).parent / "files"
RELEASES = sorted(path.name for path in FILES.iterdir())
ROWS = {release: sorted((FILES / release).glob("*Z-*.json")) for release in RELEASES}
RUNS = [release for release in RELEASES if (FILES / release / "run").is_dir()]  # with a row that was measured of it
LARGEST = 110_000  # bytes


def test_every_release_has_its_files():
    assert RELEASES[-1] == zoo.__version__
    for release in RELEASES:
        assert ROWS[release]
        for path in (FILES / release).rglob("*"):
            assert path.stat().st_size < LARGEST, path


@pytest.mark.parametrize("release", RELEASES)
def test_rows_are_read_and_compared_with_new_ones(release):
    rows = load_rows(ROWS[release])
    # The id is a digest of all contents, which loading checks.
    assert {row.id for row in rows} == {path.stem.rpartition("-")[2] for path in ROWS[release]}
    assert all(row.metrics and row.per_scene and row.key for row in rows)
    ranked = [
        entry for board in leaderboards_of(load_rows([*ROWS[release], *ROWS[RELEASES[-1]]])) for entry in board.entries
    ]
    assert {row.variant for row in rows} <= {entry.variant for entry in ranked}


@pytest.mark.parametrize("release", RELEASES)
def test_stores_are_read(release):
    folder = FILES / release / "store"
    for split in SPLITS:
        store = SceneStore(folder, split)
        frames, cameras = store.read(np.arange(store.num_scenes), np.zeros((store.num_scenes, 1), dtype=np.int64))
        assert frames.shape == (store.num_scenes, 1, 8, 8, 3) and frames.std() > 0 and np.isfinite(cameras).all()
    assert store.has_factors == (release != "0.1.0")


@pytest.mark.parametrize("release", RELEASES)
def test_every_variant_of_registry_files_resolves(release):
    registry = Registry([RegistryFile((FILES / release / "registry.yaml").resolve())])
    assert registry.problems == [] and len(registry.names()) > 40
    for name in registry.names():
        resolve(registry.variant(name))


@pytest.mark.parametrize("release", RELEASES)
def test_suites_are_read(release):
    suite = load_suite(str(FILES / release / "suite.yaml"))
    assert suite.settings.parts and suite.data


@pytest.mark.parametrize("release", RELEASES)
def test_claims_are_read_since_version_2(release):
    path = FILES / release / "claims.yaml"
    if release == "0.1.0":
        with pytest.raises(ZooError, match=r"claims\.yaml: version: found 1 \(int\), expected 2, in which a claim"):
            load_claims(path)
    else:
        assert len(load_claims(path).claims) > 5


@pytest.mark.parametrize("release", RUNS)
def test_runs_are_loaded(release):
    """Configuration and checkpoint; weights, moments and the state have their checksums."""
    run = zoo.load_run(FILES / release / "run")
    assert run.variant.name == "gqn-tower" and run.step == 4
    assert run.model.num_parameters == sum(value.numel() for value in run.model.state_dict().values())


@pytest.mark.parametrize("release", RUNS)
def test_a_checkpoint_scores_what_it_scored_then(release, tmp_path, monkeypatch):
    """The row beside the run was measured by its release: bounds and metrics of the same weights, scenes and noise."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FILES / release / "run", "run")
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with pytest.raises(SystemExit) as leave:
        main(["evaluate", "run", "--data", str(FILES / release / "store"), "--cpu", "--repeats", "0"])
    for number, handler in signals.items():
        signal.signal(number, handler)
    assert leave.value.code in (0, None)
    (now,) = load_rows(["run/results"])
    (then,) = (row for row in load_rows(ROWS[release]) if row.variant == "gqn-tower@smoke")
    assert now.key == then.key and set(then.metrics) <= set(now.metrics)
    for name, metric in then.metrics.items():
        assert now.metrics[name].value == pytest.approx(metric.value, rel=1e-5), name


def test_cards_and_pages_are_read():
    card = Card.model_validate_json((FILES / "0.2.0" / "card.json").read_bytes())
    assert card.evaluation[0].metrics and card.limits
    page = read_page(FILES / "0.2.0" / "page.json")
    assert page.models == ["gqn-epipolar-improved"] and [each.view for each in page.context] == [0, 2, None]


@pytest.mark.parametrize(
    ("file", "field", "read"),
    [
        ("row", "schema_version", load_row),
        ("store/meta.json", "schema_version", lambda path: SceneStore(path.parent, "test")),
        ("page.json", "version", read_page),
        ("suite.yaml", "version", lambda path: load_suite(str(path))),
        ("claims.yaml", "version", load_claims),
        ("registry.yaml", "version", lambda path: Registry([RegistryFile(path)])),
        ("run", "schema_version", zoo.load_run),
    ],
)
def test_a_file_of_a_later_version_is_refused_by_name_and_field(file, field, read, tmp_path):
    release = RUNS[-1] if file == "run" else RELEASES[-1]
    source = ROWS[release][0] if file == "row" else FILES / release / file
    if source.is_dir():
        path = shutil.copytree(source, tmp_path / source.name)
        (changed,) = path.rglob("state.json")
    else:
        changed = path = Path(shutil.copytree(source.parent, tmp_path / "copy")) / source.name
    text = changed.read_text()
    values = load_yaml(changed)
    for quote in ('"', ""):
        text = text.replace(f"{quote}{field}{quote}: {values[field]}", f"{quote}{field}{quote}: 9")
    changed.write_text(text)
    if (manifest := changed.with_name("MANIFEST.json")).is_file():
        from zoo.files import sha256_of

        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {changed.name: sha256_of(changed)}))
    with pytest.raises(ZooError, match=f"{field}.*9"):
        read(path)
