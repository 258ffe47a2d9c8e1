"""How tables call and write things: metrics, numbers with their digits, commits and machines."""

from __future__ import annotations

import math
import re

from zoo.results.store import ResultRow

# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@")
_HEADERS = {
    "nelbo": "NELBO",
    "kl": "KL",
    "distortion": "distortion",
    "separate_nelbo_excess": "separate NELBO excess ↓",
    "bits_per_dim": "bits/dim ↓",
    "code_sigma": "code sigma",
    "mse": "MSE ↓",
    "mae_255": "MAE (0-255) ↓",
    "rmse_255": "RMSE (0-255) ↓",
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "predictive_log_likelihood": "joint log-likelihood ↑",
    "marginal_log_likelihood": "marginal log-likelihood ↑",
    "rmse": "RMSE ↓",
    "sample_variance": "variance of samples",
    "wrong_context_nelbo_excess": "wrong-context excess",
}


def clean(text: str) -> str:
    """Returns a text on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def escape_formula(text: str) -> str:
    """Returns a clean text that a spreadsheet does not take for a formula."""
    text = clean(text)
    return "'" + text if text.startswith(_FORMULA) else text


def number(value: float, spread: float | None) -> tuple[str, str]:
    """Returns a value and its spread as texts, with as many digits as the spread allows: two of the spread itself.

    Without a spread the value has four significant digits.
    """
    if spread is None or spread <= 0:
        decimals = 3 if value == 0 else min(8, max(0, 3 - math.floor(math.log10(abs(value)))))
        return f"{value:.{decimals}f}", ""
    # Rounded first, so that 0.0999 counts as 0.10 and not as two digits behind 0.099.
    decimals = min(8, max(0, 1 - math.floor(math.log10(float(f"{spread:.1e}")))))
    return f"{value:.{decimals}f}", f"{spread:.{decimals}f}"


def commit_of(row: ResultRow) -> str:
    """Returns eight digits of the commit, with a plus if the code was changed after it, or else the version."""
    git, version = row.provenance.git, row.provenance.version
    if git is None:
        return f"v{version}" if version else ""
    return git.commit[:8] + ("+" if git.dirty else "")


def hardware_of(row: ResultRow) -> str:
    """Returns the accelerators that a row was measured on, or else the processor and its threads."""
    hardware = row.provenance.hardware
    if hardware.gpus and row.provenance.device != "cpu":
        names = sorted({gpu.name for gpu in hardware.gpus})
        return f"{len(hardware.gpus)}x {', '.join(names)}" if len(hardware.gpus) > 1 else names[0]
    return f"{hardware.cpu}, {hardware.threads} thread{'s' if hardware.threads > 1 else ''}"


def metric_header(metric: str) -> str:
    """Returns the words for a metric in the head of a table."""
    if match := re.fullmatch(r"(nelbo|iwae_(\d+))_excess", metric):
        return f"{'NELBO' if match[2] is None else f'IWAE-{match[2]}'} excess ↓"
    if match := re.fullmatch(r"iwae_(\d+)(_gap)?", metric):
        return f"IWAE-{match[1]}{' gap' if match[2] else ''}"
    if match := re.fullmatch(r"(?P<measure>mse|mae_255|rmse_255|psnr|ssim)_(?P<of>one|best)", metric):
        return image_header(match["measure"], of=match["of"])
    if match := re.fullmatch(r"reconstruction_(?P<measure>mse|mae_255|rmse_255|psnr|ssim)", metric):
        return image_header(match["measure"], of="reconstruction")
    return _HEADERS.get(metric, metric)


def image_header(measure: str, *, of: str) -> str:
    """Returns the words for a image measure of ``one`` sample, the ``mean``, the ``best`` or the ``reconstruction``."""
    words, _, arrow = _HEADERS[measure].rpartition(" ")
    return f"{words} of {of} {arrow}"
