"""``gqn-zoo compare`` and ``gqn-zoo diff`` on files, folders and git revisions: output and exit codes."""

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from zoo.results.row import ResultRow
from zoo.results.store import load_rows, save_row

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "quickstart"


CODE_LENGTH = ("bits_per_dim", "code_sigma")  # these would make tables of their own


def altered(row, *, shift=0.0, noise=0, **key):
    """Returns a row whose excess is larger by ``shift``, up to some noise, without its code length."""
    scores = np.array(row.per_scene["nelbo_excess"]) + shift
    scores += np.random.default_rng(noise).normal(0, 0.1, len(scores))
    stated = row.metrics["nelbo_excess"].model_copy(update={"value": float(scores.mean())})
    return ResultRow(
        **{name: getattr(row, name) for name in type(row).model_fields}
        | {
            "id": "",
            "key": row.key.model_copy(update=key),
            "metrics": {name: metric for name, metric in row.metrics.items() if name not in CODE_LENGTH}
            | {"nelbo_excess": stated},
            "per_scene": {name: values for name, values in row.per_scene.items() if name not in CODE_LENGTH}
            | {"nelbo_excess": scores.tolist()},
        }
    )


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A repository whose last commit made every result worse by 2 nats; ``old`` and ``new`` are the same in folders."""
    place = tmp_path_factory.mktemp("history")
    rows = load_rows([COMMITTED])
    git(place, "init", "--quiet")
    for name, shift in (("old", 0.0), ("new", 2.0)):
        for file in (place / "results" / "rows").glob("*.json"):
            file.unlink()
        for row in rows:
            for folder in (place / name, place / "results" / "rows"):
                save_row(altered(row, shift=shift, noise=int(shift)), folder)
        (place / "results" / "notes.json").write_text("{}")
        git(place, "add", "results")
        git(place, "commit", "--quiet", "-m", name)
    return place


@pytest.fixture(autouse=True)
def inside(history, monkeypatch):
    monkeypatch.chdir(history)


@pytest.mark.parametrize(
    "request_",
    [
        "old new",
        "HEAD~1:results HEAD:results",
        "HEAD~1:results results",
        "HEAD~1:./results new",
        "old/ HEAD:results/rows",
    ],
)
def test_the_same_comparison_on_folders_and_revisions(gqn_zoo, request_):
    code, out, err = gqn_zoo(f"diff {request_} --fail nelbo_excess:1")
    assert code == 1, err
    failures = [line for line in err.splitlines() if line.startswith("--fail: ")]
    assert (
        len(failures) == 3
        and re.search(r"nelbo_excess is worse by (1\.9|2\.0)", failures[0])
        and "more than 1 nats/target" in failures[0]
    )
    assert out.count("nelbo_excess (nats/target)") == 6  # with the excess under a wrong context
    assert gqn_zoo(f"diff {request_} --fail nelbo_excess:3").code == 0


def test_rows_of_a_revision_are_ranked_and_the_same_row_counts_once(gqn_zoo, history, monkeypatch):
    assert gqn_zoo("compare HEAD~1:results old").out == gqn_zoo("compare old").out
    monkeypatch.chdir(history / "results")
    assert gqn_zoo("compare HEAD~1:./rows").out == gqn_zoo("compare ../old").out


def test_one_row_of_a_revision(gqn_zoo, history):
    path = next((history / "results" / "rows").glob("*Z-vae*.json")).relative_to(history)
    outcome = gqn_zoo(f"compare HEAD:{path}")
    assert outcome.code == 0 and "1 vae " in outcome.out and "gqn-tower" not in outcome.out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("compare nothing:results", "nothing:results: found neither on disk nor in git"),
        ("compare HEAD:nothing", "HEAD:nothing: found neither on disk nor in git"),
        ("compare -- --help:results", "found neither on disk nor in git"),
        ("diff old new old", "unexpected extra argument"),
        ("diff old", "Missing argument"),
        ("diff old new --fail nelbo_excess", "--fail nelbo_excess: expected METRIC:AMOUNT"),
        ("diff old new --fail nelbo_exces:1", "--fail nelbo_exces:1: 'nelbo_exces' was not compared; did you mean"),
        ("diff old new --fail nelbo:5%", "--fail nelbo:5%: zero is no natural origin of nelbo"),
        ("diff old new --factor 0.5", "--factor"),
        ("compare old --group-by cor", "--group-by: rows have no field 'cor'; did you mean 'core'"),
        ("compare old --curve a=runs/none", "--curve: needs -o"),
        ("compare old --curve a", "--curve a: expected LABEL=RUN"),
        ("compare old --figures", "--figures: needs -o"),
        ("compare old --wide --columns kl", "--wide: shows all columns; leave out --columns"),
        ("compare old -o out --curve a=old --curve a=new", "--curve a=new: there is a curve 'a' already, of old"),
        ("report old --runs none", "Invalid value for '--runs'"),
        ("report old -o page.pdf --runs old", "page.pdf: expected a name that ends with .html"),
        ("compare old --fail nelbo_excess:1", "No such option: --fail"),
        ("compare old --columns psnr,ssm", "--columns ssm: no row has this metric; did you mean 'ssim'"),
        ("compare old --sort nelbo_exces", "--sort nelbo_exces: no row has this metric; did you mean 'nelbo_excess'"),
        ("compare old --sort floor", "neither direction of it is better"),
    ],
)
def test_mistakes_exit_with_2(gqn_zoo, words, part):
    code, out, err = gqn_zoo(words)
    assert (code, out) == (2, "") and part in err and len(err.splitlines()) == 1


def test_unlike_rows_exit_with_3_and_what_differs(gqn_zoo, history, tmp_path):
    for row in load_rows([history / "new"]):
        save_row(altered(row, num_context=2, bound="IWAE-8"), tmp_path)
    code, out, err = gqn_zoo(f"diff old {tmp_path}")
    assert (code, out) == (3, "")
    assert "not comparable: num_context 4 against 2, bound ELBO against IWAE-8" in err


def test_what_has_not_changed_is_left_out_and_files_are_written(gqn_zoo, tmp_path):
    outcome = gqn_zoo(f"diff old new --only-changed --split -o {tmp_path}")
    assert outcome.code == 0 and "worse: render" in outcome.out and "better" not in outcome.out.partition("Better,")[0]
    assert "psnr" not in outcome.out
    assert {path.name for path in tmp_path.iterdir()} == {"diff.csv", "diff.md", "diff.tex"}
    with (tmp_path / "diff.csv").open() as file:
        (record,) = (
            r for r in csv.DictReader(file) if r["quantity"] == "nelbo_excess" and r["new_variant"][:3] == "vae"
        )
    assert float(record["low"]) < float(record["difference"]) < float(record["high"]) and record["verdict"] == "worse"
    assert "Nothing has changed" in gqn_zoo("diff old new --only-changed --factor 2").out


def test_sections_and_pareto_fronts_are_written(gqn_zoo, tmp_path):
    outcome = gqn_zoo(f"compare old new --group-by core -o {tmp_path} --pareto --figures")
    assert outcome.code == 0
    assert [line.partition(":")[0] for line in outcome.out.splitlines() if line.startswith("core ")] == [
        "core gqn",
        "core gqn_epipolar",
        "core vae",
    ]
    assert (tmp_path / "pareto-1.png").stat().st_size > 5000
    assert (tmp_path / "leaderboard-1.png").stat().st_size > 5000
    assert "leaderboard-1.png: Rows without learning curve: all." in outcome.err
    with (tmp_path / "comparison.csv").open() as file:
        assert [record["table"] for record in csv.DictReader(file)] == ["1", "1", "2", "2", "3", "3"]


def test_columns_order_and_format_are_chosen(gqn_zoo, tmp_path):
    outcome = gqn_zoo(f"compare old --columns ssim,kl --sort psnr --format markdown -o {tmp_path}")
    assert outcome.code == 0 and outcome.out == (tmp_path / "comparison.md").read_text()
    lines = [line for line in outcome.out.splitlines() if line.startswith("|")]
    heads = [head.strip() for head in lines[0].strip("|").split("|")]
    assert heads == ["#", "variant", "PSNR (dB) ↑", "behind best \\[95%]", "SSIM ↑", "KL"]
    values = [float(line.split("|")[3].split()[0]) for line in lines[2:]]
    assert values == sorted(values, reverse=True) and len(values) == 3
    assert gqn_zoo("compare old --format latex").out.count("\\toprule") == 1
    records = list(csv.DictReader(gqn_zoo("compare old --format csv --sort psnr").out.splitlines()))
    assert [record["rank"] for record in records] == ["1", "2", "3"] and records[0]["ranked_by"] == "psnr"
    assert gqn_zoo("diff old new --format csv").out.startswith("base_variant,new_variant,key,quantity")


def test_a_missing_run_is_an_error_before_any_output(gqn_zoo, tmp_path):
    code, out, err = gqn_zoo(f"compare old --curve a=runs/none -o {tmp_path}")
    assert (code, out) == (2, "") and "runs/none" in err and not any(tmp_path.iterdir())


def test_json_has_the_records_of_csv(gqn_zoo):
    records = json.loads(gqn_zoo("compare old --json").out)
    in_csv = list(csv.DictReader(gqn_zoo("compare old --format csv").out.splitlines()))
    assert [record["variant"] for record in records] == [record["variant"] for record in in_csv]
    assert [record["rank"] for record in records] == [1, 2, 3] and records[0]["sigma"] == 0.7
    (worse,) = (
        r
        for r in json.loads(gqn_zoo("diff old new --json").out)
        if r["verdict"] == "worse"
        and "vae" in r["new_variant"]
        and r["quantity"] == "nelbo_excess"
        and r["new_variant"].startswith("vae")
    )
    assert worse["low"] < worse["difference"] < worse["high"]


def test_leaderboards_fit_100_columns(gqn_zoo):
    committed = COMMITTED.parent
    out = gqn_zoo(f"compare {committed}").out
    assert max(map(len, out.splitlines())) <= 100
    head = " ".join(next(table for table in out.split("\n\n") if "PSNR" in table).split())
    for words in ("#", "variant", "excess", "NELBO↓", "KL", "PSNR", "SSIM↑", "params", "scenes", "seeds"):
        assert words in head
    assert "Pareto" not in out and "Pareto" in gqn_zoo(f"compare {committed} --pareto").out
    assert out.count("Excess NELBO is the NELBO minus") == out.count("Measured on") == 1


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "{fifo}"])
def test_devices_and_pipes_are_refused(gqn_zoo, tmp_path, place):
    os.mkfifo(tmp_path / "fifo")
    place = place.replace("{fifo}", str(tmp_path / "fifo"))
    code, out, err = gqn_zoo(f"compare {place}")
    assert (code, out) == (2, "") and f"{place}: expected a result row or a folder" in err


@pytest.mark.parametrize(
    "path",
    [
        ("per_scene", "kl"),
        ("performance", "train_scenes_per_second", "p90"),
        ("budget", "seconds"),
        ("model", "parameters"),
    ],
)
def test_numbers_that_overflow_are_refused_with_file_and_field(gqn_zoo, history, tmp_path, path):
    """Sums and squares of numbers near the largest float are infinite."""
    file = next((history / "old").glob("*vae*.json"))
    contents = json.loads(file.read_text())
    *parents, last = path
    place = contents
    for name in parents:
        place = place[name]
    scenes = place[last] if isinstance(place[last], list) else None
    place[last] = [1e308] * len(scenes) if scenes else 10**400 if last == "parameters" else 1e308
    (tmp_path / file.name).write_text(json.dumps(contents))
    place = ".".join(path[:1] if scenes else path)
    for command in ("compare", "compare --pareto", "diff old"):
        code, out, err = gqn_zoo(f"{command} {tmp_path}")
        assert (code, out) == (2, "") and f"{file.name}: {place}: " in err and "of at most 1e+60, found 1" in err
