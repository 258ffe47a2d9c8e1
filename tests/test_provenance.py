import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from tests.recorded import sources_of
from zoo import provenance

ROOT = Path(__file__).resolve().parents[1]


def collect(**changes):
    settings = {"seed": 3, "command": ["gqn-zoo", "train"], "config": {"lr": 1e-3}} | changes
    return provenance.collect(**settings)


def test_collect_describes_code_settings_libraries_and_machine():
    found = collect(device="cpu")
    assert found.seed == 3 and found.device == "cpu"
    assert found.versions["torch"] and found.versions["numpy"] and found.versions["python"].startswith("3.")
    assert set(found.versions) == {"python", *provenance.LIBRARIES, "cuda", "cudnn"}
    assert found.hardware.cores >= 1 and found.hardware.threads >= 1 and found.hardware.cpu
    assert provenance.Provenance.model_validate(found.model_dump()) == found


def test_components_of_third_parties_are_recorded_and_older_provenance_is_read():
    source = provenance.ComponentSource(distribution="lab", version="1.0", sha256="0" * 16)
    assert collect(components={"core": source}).components == {"core": source}
    older = collect().model_dump()
    assert older.pop("components") is None
    assert provenance.Provenance.model_validate(older).components is None


def test_importing_does_not_import_torch():
    code = "import sys, zoo.results.store, zoo.provenance; assert 'torch' not in sys.modules"
    root = Path(zoo.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("/home/ada/bin/gqn-zoo", "gqn-zoo"),
        ("--output=/home/ada/runs/x", "--output=x"),
        ("/home/ada lovelace/runs/x/", "x"),
        ("file:///home/ada/a.json", "a.json"),
        ("~/runs/x", "x"),
        (r"C:\Users\ada\x", "x"),
        ("a=/home/ada/x,b=/home/ada/y", "a=x,b=y"),
        ("runs/x", "runs/x"),
        ("../runs/x", "../runs/x"),
        ("lab/gqn-tower", "lab/gqn-tower"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("1e-3", "1e-3"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(token, expected):
    found = provenance.anonymous_command([token, "--seed", "1"])
    assert found.replace("'", "") == f"{expected} --seed 1"


def test_nothing_tells_who_ran_it_or_where():
    home = str(Path.home())
    text = collect(command=[f"{home}/bin/gqn-zoo", "-o", f"{home}/runs"]).model_dump_json()
    assert home not in text
    assert "host" not in text


def test_config_hash_ignores_seeds_and_order_only():
    base = provenance.hash_config({"a": 1, "b": {"c": [1, 2], "seed": 1}, "seed": 4})
    assert len(base) == 16
    assert base == provenance.hash_config({"b": {"seed": 9, "c": (1, 2)}, "a": 1})
    assert base != provenance.hash_config({"b": {"c": [2, 1]}, "a": 1})
    assert base != provenance.hash_config({"b": {"c": [1, 2]}, "a": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        provenance.hash_config({"a": float("nan")})


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "ada@example.org")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "ada@example.org")
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / ".gitignore").write_text("venv\n")

    def git(*arguments):
        return subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    return tmp_path, git


def test_git_state_of_a_clean_and_a_changed_checkout(checkout):
    root, git = checkout
    state = provenance.git_state(root / "zoo")
    assert state == provenance.GitState(commit=git("rev-parse", "HEAD").strip(), dirty=False)
    (root / "notes.txt").write_text("no code")
    assert provenance.git_state(root / "zoo").dirty is False
    (root / "zoo" / "new_core.py").write_text("")
    assert provenance.git_state(root / "zoo").dirty is True


def test_a_package_installed_below_another_checkout_is_not_that_checkout(checkout):
    root, _ = checkout
    installed = root / "venv" / "site-packages" / "zoo"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert provenance.git_state(installed) is None


def test_the_commit_is_that_of_the_package_and_not_of_the_working_directory(checkout, monkeypatch):
    root, git = checkout
    package = Path(zoo.__file__).parent
    expected = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], capture_output=True, text=True)
    if expected.returncode:
        pytest.skip("this is no checkout")
    monkeypatch.chdir(root)
    found = collect().git
    assert found.commit == expected.stdout.strip() != git("rev-parse", "HEAD").strip()


def test_variables_of_a_git_hook_do_not_redirect(checkout, monkeypatch, tmp_path_factory):
    root, git = checkout
    commit = git("rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("other")))
    assert provenance.git_state(root / "zoo").commit == commit


def test_without_git_or_outside_of_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    assert provenance.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(Path(zoo.__file__).parent) is None
    assert collect().git is None


def test_recorded_output_names_a_commit_that_outlives_a_rebased_branch(checkout, tmp_path_factory):
    root, git = checkout
    (root / "tests").mkdir()
    (root / "tests" / "test_one.py").write_text("")
    git("add", "-A")
    git("commit", "-q", "-m", "tests")
    git("branch", "-M", "main")
    commit, zoo_tree = git("rev-parse", "HEAD").strip(), git("rev-parse", "HEAD:zoo").strip()
    found = sources_of(root)
    assert found == {"commit": commit, "trees": f"zoo {zoo_tree}, tests {git('rev-parse', 'HEAD:tests').strip()}"}
    git("switch", "-q", "-c", "branch")
    (root / "tests" / "test_one.py").write_text("def test_one(): ...")
    assert sources_of(root) == found | {"commit": f"{commit}, with changes that are not committed"}
    git("commit", "-q", "-a", "-m", "one")
    on_branch = sources_of(root)
    assert on_branch["commit"] == f"{commit} of main, and 1 of a branch on top of it"
    assert on_branch["trees"] == f"zoo {zoo_tree}, tests {git('rev-parse', 'HEAD:tests').strip()}" != found["trees"]
    assert sources_of(tmp_path_factory.mktemp("no-checkout")) == {}


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "trust").glob("*.md")), ids=lambda path: path.stem)
def test_recorded_output_is_named_and_its_commit_is_part_of_the_history(path):
    assert f"(../results/trust/{path.name})" in (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    commits = re.findall(r"(?m)^\| commit \| ([0-9a-f]{40})[ ,|]", path.read_text(encoding="utf-8"))
    assert commits
    git = shutil.which("git")
    if git is None or subprocess.run([git, "-C", ROOT, "rev-parse", "HEAD~50"], capture_output=True).returncode:
        pytest.skip("the history is not here")
    for commit in commits:
        assert subprocess.run([git, "-C", ROOT, "merge-base", "--is-ancestor", commit, "HEAD"]).returncode == 0, commit
