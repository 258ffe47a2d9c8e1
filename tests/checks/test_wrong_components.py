"""Wrong components: every check runs to its end and names the user's file and line, without a traceback."""

import itertools

import pytest

from zoo.checks import runner
from zoo.checks.runner import CHECKS, QUICK, run_checks
from zoo.cli.new import TEMPLATES
from zoo.registry.registry import default_registry

NUMBERS = itertools.count()


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Returns the results of the checks on a variant with one component: a template after replacements in its text."""

    def run(kind, *replacements, base=None, checks=QUICK):
        monkeypatch.setattr(runner, "CHECKS", {name: CHECKS[name] for name in checks})
        module = f"wrong_component_{next(NUMBERS)}"
        text = (TEMPLATES / f"{kind}.py.txt").read_text() if base is None else base
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.chdir(tmp_path)
        use = f"{module}:My{kind.capitalize()}"
        shrink = {"core": ", z_channels: 4, channels: 4, condition_channels: 8", "encoder": ", channels: 8"}
        overrides = [f"{kind}={{use: '{use}'{shrink.get(kind, '')}}}"]
        variant = default_registry().variant("cvae", size="smoke", overrides=overrides)
        found = list(run_checks(variant))
        assert [result.check for result in found] == ["build", *checks]
        for result in found:
            assert "\n" not in result.message
        lines = text.splitlines()
        return {result.check: result for result in found}, f"{module}.py", lines

    return run


def line_of(lines, text):
    """Returns the number of the first line that contains a text, from 1."""
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize("kind", ["core", "encoder"])
def test_the_templates_pass_all_checks(results, kind):
    found, _, _ = results(kind, checks=CHECKS)
    assert {result.status for result in found.values()} == {"ok"}


@pytest.mark.parametrize(
    "kl", ["kl_divergence(posterior, prior).sum(dim=(1, 2))", "kl_divergence(posterior, prior)[..., None]"]
)
def test_a_kl_of_any_shape_with_a_batch_axis_is_accepted(results, kl):
    found, _, _ = results("core", ("kl=kl_divergence(posterior, prior)", f"kl={kl}"), checks=CHECKS)
    assert {result.status for result in found.values()} == {"ok"}


FORWARD, PREDICT = "def forward", "def predict"
WRONG_CORES = {
    "KL without axes": (
        ("kl_divergence(posterior, prior),", "kl_divergence(posterior, prior).mean(),"),
        FORWARD,
        "MyCore.forward returns kl of shape [], expected [3, ...]",
    ),
    "KL without a leading batch axis": (
        ("kl_divergence(posterior, prior),", "kl_divergence(posterior, prior).sum(dim=(0, 2)),"),
        FORWARD,
        "MyCore.forward returns kl of shape [2], expected [3, ...]",
    ),
    "KL as a number": (
        ("kl_divergence(posterior, prior),", "kl_divergence(posterior, prior).sum().item(),"),
        FORWARD,
        "MyCore.forward returns kl as a float, expected a tensor",
    ),
    "two channels too many": (
        (
            "channels_out=shapes.prediction_channels,\n            initial_prediction=shapes.initial_prediction",
            "channels_out=shapes.prediction_channels + 2",
        ),
        FORWARD,
        "MyCore.forward returns prediction of shape [3, 2, 5, 16, 16], expected [3, 2, 3, 16, 16]",
    ),
    "log-ratio of every query": (
        (".sum(dim=(1, 2)),  # [B]", ".sum(dim=2),"),
        FORWARD,
        "MyCore.forward returns log_ratio of shape [3, 2], expected [3]",
    ),
    "predictions [B, S, ...]": (
        ("return self._decode(z, condition.expand", "return self._decode(z, condition.expand"),
        PREDICT,
        "MyCore.predict returns a prediction of shape [3, 4, 2, 3, 16, 16], expected [4, 3, 2, 3, 16, 16]",
    ),
    "predictions of one sample": (
        (
            "return self._decode(z, condition.expand(num_samples, -1, -1, -1))",
            "return self._decode(z, condition.expand(num_samples, -1, -1, -1))[0]",
        ),
        PREDICT,
        "MyCore.predict returns a prediction of shape [3, 2, 3, 16, 16], expected [4, 3, 2, 3, 16, 16]",
    ),
    "a plain tuple": (
        ("return CoreOutput(", "return dict("),
        FORWARD,
        "MyCore.forward returns a dict, expected CoreOutput(prediction, kl, log_ratio)",
    ),
    "no keyword num_samples": (
        ("schedule: ScheduleValues, num_samples: int\n", "schedule: ScheduleValues\n"),
        PREDICT,
        "got an unexpected keyword argument 'num_samples'",
    ),
    "an exception in forward": (
        ("prior = standard_like(posterior)", "prior = standard_like(posterior.no_such_field)"),
        "posterior.no_such_field",
        "AttributeError: 'DiagonalGaussian' object has no attribute 'no_such_field'",
    ),
    "an exception without a message": (
        ("prior = standard_like(posterior)", "raise KeyError"),
        "raise KeyError",
        "KeyError",
    ),
}


@pytest.mark.parametrize("fault", WRONG_CORES)
def test_a_wrong_core_fails_the_check_of_shapes_with_file_and_line(results, fault):
    replacement, place, message = WRONG_CORES[fault]
    replacements = [replacement]
    if fault == "predictions [B, S, ...]":
        replacements = [
            ("condition.expand(num_samples, -1, -1, -1))", "condition.expand(num_samples, -1, -1, -1)).transpose(0, 1)")
        ]
    found, file, lines = results("core", *replacements)
    assert found["build"].status == "ok"
    assert found["shapes"].status == "failed"
    assert message in found["shapes"].message
    assert found["shapes"].location == f"{file}:{line_of(lines, place)}"
    assert found["likelihood"].status == "ok"  # it does not depend on the core


MISSING = {
    "no latents": ([('    latents = "query"', "    # latents")], "lacks the class attribute 'latents'"),
    "unknown latents": (
        [('latents = "query"', 'latents = "view"')],
        "declares latents = 'view': input should be 'query', 'scene' or 'none'",
    ),
    "no predict": ([("    def predict(", "    def predicts(")], "does not implement predict()"),
    "no required features": (
        [("    required_features =", "    features =")],
        "lacks the class attribute 'required_features'",
    ),
    "no Config": ([("class Config(Settings)", "class Config")], "declares Config"),
}


@pytest.mark.parametrize("fault", MISSING)
def test_a_core_that_does_not_declare_its_interface_fails_to_build_with_file_and_line(results, fault):
    replacements, message = MISSING[fault]
    found, file, lines = results("core", *replacements)
    assert found["build"].status == "failed"
    assert message in found["build"].message
    assert found["build"].location == f"{file}:{line_of(lines, 'class MyCore')}"
    assert {found[check].status for check in QUICK} == {"skipped"}


BROKEN = {
    "an exception at import": (
        "class MyCore(LatentCore):",
        "1 / 0\n\n\nclass MyCore(LatentCore):",
        "1 / 0",
        "ZeroDivisionError",
    ),
    "a syntax error": (
        "class MyCore(LatentCore):",
        "class MyCore(LatentCore:",
        "class MyCore(LatentCore:",
        "SyntaxError",
    ),
    "an exception in the constructor": (
        "channels, size, _ = shapes.target",
        "channels, size = shapes.target",
        "channels, size = shapes.target",
        "too many values to unpack",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_core_that_cannot_be_built_is_reported_with_file_and_line(results, fault):
    old, new, place, message = BROKEN[fault]
    found, file, lines = results("core", (old, new))
    assert found["build"].status == "failed"
    assert message in found["build"].message
    assert found["build"].location == f"{file}:{line_of(lines, place)}"


FORWARD_OF_ENCODER = """
    def forward(self, views):
        found = super().forward(views)
        return {output}
"""
WRONG_OUTPUTS = {
    "a tensor": ("found.pooled", "MyEncoder.forward returns a Tensor, expected Representation(pooled, per_view, mask)"),
    "a pooled representation without scenes": (
        "found._replace(pooled=found.pooled.sum(0))",
        "returns pooled of shape [8, 4, 4], expected [3, 8, 4, 4]",
    ),
    "views in the place of scenes": (
        "found._replace(per_view=found.per_view.transpose(1, 2))",
        "returns per_view of shape [3, 8, 3, 4, 4], expected [3, 3, 8, 4, 4]",
    ),
    "no mask": ("found._replace(mask=None)", "returns mask as a NoneType, expected a tensor [B, N]"),
}


@pytest.mark.parametrize("fault", WRONG_OUTPUTS)
def test_a_wrong_output_of_an_encoder_fails_with_file_and_line(results, fault):
    output, message = WRONG_OUTPUTS[fault]
    text = (TEMPLATES / "encoder.py.txt").read_text() + FORWARD_OF_ENCODER.format(output=output)
    found, file, lines = results("encoder", base=text)
    assert found["shapes"].status == "failed"
    assert message in found["shapes"].message
    assert found["shapes"].location == f"{file}:{line_of(lines, 'def forward')}"


def test_an_encoder_with_other_maps_than_it_declares_fails(results):
    found, _, _ = results("encoder", ("channels=config.channels, height", "channels=config.channels + 1, height"))
    assert found["shapes"].status == "failed"
    assert "returns per_view of shape [3, 3, 8, 4, 4], expected [3, 3, 9, 4, 4]" in found["shapes"].message


def test_an_exception_of_an_encoder_fails_with_file_and_line(results):
    found, file, lines = results("encoder", ("maps.to(values.dtype)]", "maps.mean((2, 3))]"))
    assert found["shapes"].status == "failed"
    assert found["shapes"].location == f"{file}:{line_of(lines, 'torch.cat')}"


def test_an_encoder_without_a_shape_or_kind_fails_to_build(results):
    found, _, _ = results("encoder", ("self.shape =", "self.size ="))
    assert found["build"].status == "failed" and "has no attribute 'shape'" in found["build"].message
    found, file, _ = results("encoder", ('context_kind = "images"', 'kind = "images"'))
    assert "lacks the class attribute 'context_kind'" in found["build"].message
    assert found["build"].location.startswith(f"{file}:")


LIKELIHOOD = '''
import torch
from zoo.config.settings import Settings
from zoo.model.interfaces import Likelihood


class MyLikelihood(Likelihood):
    """N(x; mu, 1) for every pixel."""

    class Config(Settings):
        """No settings."""

    target_kinds = frozenset({"images"})
    bounded = False

    def prediction_channels(self, target_channels):
        return target_channels

    def log_prob(self, prediction, target, schedule):
        return (-0.5 * (target - prediction).square() - 0.9189385332046727).flatten(2).sum(2)

    def mean(self, prediction):
        return prediction

    def sample(self, prediction, noise, schedule):
        return prediction + noise
'''
WRONG_LIKELIHOODS = {
    "not summed": (
        ".flatten(2).sum(2)",
        "",
        "log_prob",
        "returns a log-likelihood of shape [3, 2, 3, 16, 16], expected [3, 2]",
    ),
    "summed over queries": (
        ".flatten(2).sum(2)",
        ".flatten(1).sum(1)",
        "log_prob",
        "returns a log-likelihood of shape [3], expected [3, 2]",
    ),
    "averaged over colours": (
        "return prediction\n",
        "return prediction.mean(-3, keepdim=True)\n",
        "mean",
        "returns a mean of shape",
    ),
    "one sample for all pixels": (
        "prediction + noise",
        "(prediction + noise).mean(-1)",
        "sample",
        "returns a sample of shape",
    ),
    "a floor that is a number": (
        "    bounded = False\n",
        "    bounded = False\n\n    def floor(self, target_dims, schedule):\n        return 0.0\n",
        "floor",
        "returns a floor as a float, expected a tensor without axes",
    ),
}


def test_a_correct_likelihood_passes(results):
    found, _, _ = results("likelihood", base=LIKELIHOOD, checks=CHECKS)
    assert {result.status for result in found.values()} == {"ok"}


@pytest.mark.parametrize("fault", WRONG_LIKELIHOODS)
def test_a_wrong_likelihood_fails_with_file_and_line(results, fault):
    old, new, method, message = WRONG_LIKELIHOODS[fault]
    found, file, lines = results("likelihood", (old, new), base=LIKELIHOOD)
    failed = found["likelihood"]
    assert failed.status == "failed"
    assert f"MyLikelihood.{method} {message.partition(' of shape')[0]}" in failed.message
    assert any(message in result.message for result in found.values())
    assert failed.location == f"{file}:{line_of(lines, f'def {method}')}"


def test_an_exception_of_a_likelihood_fails_with_file_and_line(results):
    found, file, lines = results("likelihood", (".square()", ".squared()"), base=LIKELIHOOD)
    assert found["shapes"].status == found["likelihood"].status == "failed"
    assert found["shapes"].location == f"{file}:{line_of(lines, '.squared()')}"


def test_a_likelihood_without_an_abstract_method_fails_to_build(results):
    found, _, _ = results("likelihood", ("def sample", "def draw"), base=LIKELIHOOD)
    assert found["build"].status == "failed" and "does not implement sample()" in found["build"].message
