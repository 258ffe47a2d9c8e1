"""The live display of ``train --live``, in terminals of several kinds and without one."""

import io
import os
import pty
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from zoo.cli.live import HalfBlocks, LiveDisplay, curve_lines, draw_predictions, resized, tile_size
from zoo.evaluation.images import Sheet

METRICS = {
    "train/nelbo": 500.0,
    "train/nelbo_excess": 51.7,
    "train/kl": 10.25,
    "train/learning_rate": 5e-4,
    "train/sigma": 0.7,
    "perf/scenes_per_second": 133.3,
}


def console_of(width=120, height=40, **options):
    options = {"color_system": "truecolor", "no_color": False, **options}
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, **options)


def sheet_of_noise(scenes=3, views=5, size=16, samples=3):
    generator = np.random.default_rng(0)

    def draw(*shape):
        return generator.integers(0, 256, (*shape, size, size, 3), dtype=np.uint8)

    return Sheet(draw(scenes, views), draw(scenes), draw(scenes), draw(scenes, samples))


def text_of(display, **options):
    console = console_of(**options)
    console.print(display)
    return console.file.getvalue()


def filled(**options):
    display = LiveDisplay("gqn", steps=100, console=console_of(**options))
    display.update(10, METRICS)
    display.update(20, {**METRICS, "train/nelbo_excess": 5.0})
    display.show_predictions(20, sheet_of_noise())
    return display


def test_a_character_shows_two_pixels():
    tile = np.zeros((2, 2, 3), np.uint8)
    tile[0, 0], tile[1, 0] = (1, 2, 3), (4, 5, 6)
    console = console_of()
    console.print(HalfBlocks([tile, tile], gaps=[1, 0]))
    (line,) = console.file.getvalue().splitlines()
    assert line.startswith("\x1b[38;2;1;2;3;48;2;4;5;6m▀") and re.sub(r"\x1b\[[0-9;]*m", "", line) == "▀▀ ▀▀"


def test_images_are_averaged_or_repeated():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = 100
    image[0, 2] = 40
    assert resized(image, 2)[..., 0].tolist() == [[100, 10], [0, 0]]
    assert resized(image, 8)[:4, :4].min() == 100


@pytest.mark.parametrize(
    ("size", "room", "expected"), [(16, 40, 32), (16, 17, 16), (32, 19, 18), (8, 30, 24), (9, 11, 8)]
)
def test_a_tile_is_even_and_fits(size, room, expected):
    assert tile_size(size, room=room) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], ["▁█"]),
        ([5.0], ["▁"]),
        ([1.0, 10.0, 100.0], ["▁▄█"]),
        ([-1.0, 0.0, 0.0, 1.0], ["▁█"]),
    ],
)
def test_a_curve_goes_from_the_lowest_to_the_highest(values, expected):
    width = len(expected[0])
    (line,) = curve_lines(values, width=width, height=1)
    assert line in (expected[0], expected[0].replace("▄", "▅"))
    tall = curve_lines(values, width=width, height=3)
    assert len(tall) == 3 and tall[0][-1] == ("█" if len(values) > 1 else " ") and tall[2][0] == "▁"


def test_the_display_shows_metrics_curve_time_and_predictions():
    text = text_of(filled())
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for part in ("gqn", "20/100", "5.00 nats/target", "10.25 nats", "133.3 scenes/s", "5.00e-04", "0.700"):
        assert part in plain
    assert "highest 51.70" in plain and "lowest 5.00" in plain and "█" in plain
    assert "at step 20, validation" in plain and "2 of 5 context views" in plain and "2 of 3 samples" in plain
    assert text.count("▀") == 2 * 8 * 6 * 16  # scenes, lines, images, characters of a line
    assert max(map(len, plain.splitlines())) <= 120


@pytest.mark.parametrize(("width", "height"), [(200, 60), (120, 40), (80, 24), (70, 20), (40, 12), (20, 5)])
def test_the_display_fits_into_the_terminal(width, height):
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text_of(filled(), width=width, height=height)).splitlines()
    assert max(map(len, lines)) <= width
    drawn = list(draw_predictions(1, sheet_of_noise(size=32), width=width, height=height))
    assert bool(drawn) == (width >= 70)
    if width >= 70:
        assert len(lines) < height


@pytest.mark.parametrize("options", [{"no_color": True}, {"color_system": None}, {"color_system": "standard"}])
def test_images_are_left_out_without_colours(options):
    text = text_of(filled(), **options)
    assert "▀" not in text and "5.00 nats/target" in text
    if options == {"no_color": True}:
        assert not re.search(r"\x1b\[[0-9;]*[34]8;", text)


def test_256_colours_are_enough_for_images():
    text = text_of(filled(), color_system="256")
    images = [line for line in text.splitlines() if "▀" in line]
    assert len(images) == 16 and all("38;5;" in line and "38;2;" not in line for line in images)


def in_a_terminal(*arguments, until=None, **environment):
    """Runs the program in a pseudo-terminal, interrupts it when it has written ``until``; returns exit code and output."""
    terminal, end = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    size = {"COLUMNS": "120", "LINES": "40"}
    settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1", **size, **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        stdin=end,
        stdout=end,
        stderr=end,
        env={**kept, **settings, "PYTHONPATH": os.pathsep.join(sys.path)},
        # A shell may start pytest with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        os.close(end)
        written = b""
        while True:
            try:
                written += os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            if until is not None and until in written:
                process.send_signal(signal.SIGINT)
                until = None
    os.close(terminal)
    return process.returncode, written.decode()


def arguments_of(scenes, run, *more):
    common = ("--size", "smoke", "--data", scenes, "-o", run, "--cpu", "-j", 0, "--log-interval", 1, "--live")
    return ("train", "vae", *common, *more)


def test_ctrl_c_ends_a_live_run_with_a_checkpoint(scenes, tmp_path):
    run = tmp_path / "run"
    more = ("--steps", 1_000_000, "--validation-interval", 20)
    code, text = in_a_terminal(*arguments_of(scenes, run, *more), until="▀".encode())
    assert code == 130, text[-2000:]
    assert "Interrupted after step" in text and "Traceback" not in text and "\x1b[38;2;" in text
    step = int(re.search(r"Interrupted after step (\d+)", text)[1])
    assert (run / "checkpoints" / f"step-{step:09d}").is_dir() and (run / "predictions.png").is_file()
    assert "\x1b[?25h" in text.split("Interrupted")[0], "the cursor is shown again"


def test_no_color_takes_the_colours_away(scenes, tmp_path):
    code, text = in_a_terminal(*arguments_of(scenes, tmp_path / "run", "--steps", 4), NO_COLOR="1")
    assert code == 0 and "excess NELBO" in text and "▀" not in text
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|4[0-9])[;m]", text)


def test_without_a_terminal_there_are_lines(gqn_zoo, scenes, tmp_path):
    live = gqn_zoo(*map(str, arguments_of(scenes, tmp_path / "run", "--steps", 4)))
    plain = gqn_zoo(*(str(word) for word in arguments_of(scenes, tmp_path / "other", "--steps", 4) if word != "--live"))
    assert live.code == plain.code == 0 and live.out == ""
    assert [line.split("  ")[0] for line in live.err.splitlines()[:4]] == [
        line.split("  ")[0] for line in plain.err.splitlines()[:4]
    ]
    assert "step 4 of 4" in live.err and "▀" not in live.err and "\x1b" not in live.err


def test_only_the_first_process_has_a_display(gqn_zoo, scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("zoo.cli.live.can_be_live", lambda: pytest.fail("the other processes print nothing"))
    monkeypatch.setattr("zoo.training.run.train", lambda *arguments, **named: named["progress"](1, METRICS))
    outcome = gqn_zoo(*map(str, arguments_of(scenes, tmp_path / "run")))
    assert outcome == (0, "", "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--log-with tensorbord", "--log-with: there is no tracker 'tensorbord'; did you mean 'tensorboard'?"),
        ("--log-with tensorboard,nothing_like_it", "--log-with: there is no tracker 'nothing_like_it'"),
    ],
)
def test_an_unknown_tracker_exits_with_code_2(gqn_zoo, scenes, tmp_path, given, expected):
    code, out, err = gqn_zoo(f"train vae --size smoke --data {scenes} -o {tmp_path / 'run'} --cpu {given}")
    assert (code, out) == (2, "") and err.startswith(f"gqn-zoo: {expected}") and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", ("tensorboard",)), ("--log-with=", ()), ("--log-with tensorboard,tensorboard,", ("tensorboard",))],
)
def test_names_of_trackers_are_separated_by_commas(gqn_zoo, scenes, tmp_path, monkeypatch, given, expected):
    seen = []

    def train(variant, *, options, **named):
        seen.append(options.log_with)
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.training.run.train", train)
    gqn_zoo(f"train vae --size smoke --data {scenes} -o {tmp_path / 'run'} --cpu {given}")
    assert seen == [expected]
