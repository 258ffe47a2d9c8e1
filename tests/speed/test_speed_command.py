"""``python -m benchmarks.speed``."""

import pytest

from benchmarks.speed.__main__ import main


def test_the_suite_writes_its_files_and_recreates_them_from_the_record(tmp_path, capsys):
    assert main(["--quick", "--parts", "plain loop", "--repeats", "1", "-o", str(tmp_path / "results")]) == 0
    output = capsys.readouterr().out
    assert "speed-up" in output and "Targets" not in output
    written = {path.suffix: path for path in (tmp_path / "results" / "speed").iterdir()}
    assert set(written) == {".json", ".md", ".png"}
    assert main(["--from-record", str(written[".json"]), "-o", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out == output
    for suffix in (".md", ".png"):
        assert (tmp_path / "again" / "speed" / written[suffix].name).read_bytes() == written[suffix].read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--parts", "scalign"], "the speed suite has no part 'scalign'; did you mean 'scaling'"),
        (["--from-record", "none.json"], "none.json: cannot be read"),
    ],
)
def test_mistakes_exit_with_code_2_and_one_sentence(tmp_path, capsys, options, sentence):
    assert main([*options, "-o", str(tmp_path / "new")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
