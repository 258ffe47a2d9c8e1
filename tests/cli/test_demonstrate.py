"""``gqn-zoo demonstrate``: the list of analyses, and mistakes."""

import subprocess
import sys

from zoo.analysis.catalogue import ANALYSES


def test_without_a_name_all_analyses_are_listed(gqn_zoo):
    code, out, _ = gqn_zoo("demonstrate")
    assert code == 0 and [line.partition(":")[0] for line in out.splitlines()] == list(ANALYSES)


def test_the_list_does_not_import_torch():
    script = "import sys; from zoo.cli.main import main; main(); assert not {'torch', 'matplotlib'} & set(sys.modules)"
    script = script.replace("main();", "sys.argv = ['gqn-zoo', 'demonstrate']; code = main();")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "surprise: " in done.stdout, done.stderr


def test_mistakes_are_one_line(gqn_zoo, tmp_path):
    for arguments, message in (
        (["surprize"], "there is no analysis 'surprize'; did you mean 'surprise'"),
        (["surprise", "--all"], "expected a name or --all, not both"),
    ):
        code, out, err = gqn_zoo("demonstrate", *arguments, "-o", tmp_path / "x")
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
