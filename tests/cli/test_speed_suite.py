"""``gqn-zoo bench --suite speed``."""

import pytest


def test_the_suite_writes_its_files_and_shows_them_again(gqn_zoo, tmp_path):
    outcome = gqn_zoo(
        "bench", "--suite", "speed", "--quick", "--limit-to", "plain loop", "--repeats", 1, "-o", tmp_path / "results"
    )
    assert outcome.code == 0, outcome.err
    assert "speed-up" in outcome.out and "Targets" not in outcome.out
    written = {path.suffix: path for path in (tmp_path / "results" / "speed").iterdir()}
    assert set(written) == {".json", ".md", ".png"}
    again = gqn_zoo("bench", "--suite", "speed", "--from", written[".json"], "-o", tmp_path / "again")
    assert (again.code, again.out) == (0, outcome.out)
    for suffix in (".md", ".png"):
        assert (tmp_path / "again" / "speed" / written[suffix].name).read_bytes() == written[suffix].read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--suite speed --limit-to scalign", "the speed suite has no part 'scalign'; did you mean 'scaling'"),
        ("--suite speed --from {place}/none.json", "none.json: cannot be read"),
        ("--quick", "--quick: belongs to --suite speed"),
        ("--limit-to scaling", "--limit-to: belongs to --suite speed"),
        ("--suite sped", "there is no suite 'sped'; did you mean 'speed'?"),
    ],
)
def test_mistakes_are_told_in_a_sentence(gqn_zoo, tmp_path, options, sentence):
    outcome = gqn_zoo(f"bench {options.format(place=tmp_path)} -o {tmp_path}/new")
    assert outcome.code == 2 and sentence in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "new").exists()
