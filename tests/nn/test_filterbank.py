"""Windows on images equal the formulas of DRAW in loops and have smooth parameters."""

import math

import pytest
import torch

from zoo.nn.filterbank import NUM_PARAMETERS, WindowHead, filters, window


def parameters(count, seed=0, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, NUM_PARAMETERS, dtype=torch.float64, generator=generator)


def images(*shape, seed=1):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def textbook(given, *, number, height, width):
    """Equations 22 to 26 of Gregor et al. 2015, one number at a time."""
    x, y, log_variance, log_stride, _ = given.tolist()
    centre_x, centre_y = (width + 1) / 2 * (x + 1), (height + 1) / 2 * (y + 1)
    stride = (max(height, width) - 1) / (number - 1) * math.exp(log_stride)

    def bank(centre, size):
        rows = []
        for i in range(1, number + 1):
            mean = centre + (i - number / 2 - 0.5) * stride
            row = [math.exp(-((a - mean) ** 2) / (2 * math.exp(log_variance))) for a in range(1, size + 1)]
            rows.append([value / sum(row) for value in row])
        return torch.tensor(rows, dtype=torch.float64)

    return bank(centre_y, height), bank(centre_x, width)


@pytest.mark.parametrize(("number", "height", "width"), [(2, 6, 6), (5, 8, 11), (6, 9, 7)])
def test_it_equals_the_formulas_of_the_paper(number, height, width):
    given = parameters(4)
    found = window(given, number=number, height=height, width=width)
    image = images(4, 3, height, width)
    patch = images(4, 2, number, number)
    for index in range(4):
        rows, columns = textbook(given[index], number=number, height=height, width=width)
        gamma = math.exp(given[index, 4])
        torch.testing.assert_close(found.rows[index], rows)
        torch.testing.assert_close(found.columns[index], columns)
        torch.testing.assert_close(found.read(image)[index], gamma * rows @ image[index] @ columns.T)
        torch.testing.assert_close(found.write(patch)[index], rows.T @ patch[index] @ columns / gamma)


def test_rows_sum_to_one_wherever_the_window_lies():
    for scale in (0.5, 3.0, 20.0):
        found = window(parameters(50, scale=scale), number=5, height=12, width=10)
        for bank in (found.rows, found.columns):
            assert torch.isfinite(bank).all()
            torch.testing.assert_close(bank.sum(-1), torch.ones_like(bank[..., 0]))


def test_zeros_ask_for_the_whole_image():
    found = window(torch.zeros(1, NUM_PARAMETERS, dtype=torch.float64), number=4, height=10, width=10)
    middles = (found.rows[0] * torch.arange(1.0, 11.0, dtype=torch.float64)).sum(-1)
    # Filters at 1, 4, 7 and 10; those at the border are cut off there.
    torch.testing.assert_close(middles[1:3], torch.tensor([4.0, 7.0], dtype=torch.float64), rtol=0, atol=0.05)
    assert middles[0] < 2 < 9 < middles[3]
    assert found.intensity.item() == 1


def test_a_sharp_grid_of_all_pixels_changes_nothing():
    given = torch.zeros(2, NUM_PARAMETERS, dtype=torch.float64)
    given[:, 2] = -8.0
    image = images(2, 3, 9, 9)
    found = window(given, number=9, height=9, width=9)
    torch.testing.assert_close(found.read(image), image)
    torch.testing.assert_close(found.write(image), image)


def test_directions_are_right_and_down():
    image = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    image[..., 1, 7] = 1.0  # near the top, at the right
    brightness = {}
    for x in (-0.6, 0.6):
        for y in (-0.6, 0.6):
            given = torch.tensor([[x, y, -2.0, -2.0, 0.0]], dtype=torch.float64)
            brightness[x, y] = window(given, number=3, height=9, width=9).read(image).sum().item()
    assert brightness[0.6, -0.6] > 0.5
    assert max(value for place, value in brightness.items() if place != (0.6, -0.6)) < 0.01


def test_what_is_written_is_where_it_is_read():
    given = torch.tensor([[0.3, -0.4, -6.0, -1.2, 0.7]], dtype=torch.float64)
    place = window(given, number=4, height=20, width=20)
    patch = images(1, 2, 4, 4)
    # The filters are narrow and apart, so that reading undoes writing but for the share of neighbouring pixels.
    assert torch.corrcoef(torch.stack([place.read(place.write(patch)).flatten(), patch.flatten()]))[0, 1] > 0.99


def test_gradients_equal_finite_differences():
    given = parameters(2).requires_grad_()
    image = images(2, 2, 6, 5).requires_grad_()
    patch = images(2, 2, 3, 3).requires_grad_()

    def run(given, image, patch):
        place = window(given, number=3, height=6, width=5)
        return place.read(image), place.write(patch)

    assert torch.autograd.gradcheck(run, (given, image, patch))


def test_a_far_or_very_narrow_window_has_finite_gradients():
    for numbers in ([30.0, -30.0, -30.0, 0.0, 0.0], [0.0, 0.0, -600.0, 3.0, 0.0], [0.0, 0.0, 40.0, -20.0, 0.0]):
        given = torch.tensor([numbers], requires_grad=True)
        place = window(given, number=3, height=8, width=8)
        loss = place.read(torch.rand(1, 1, 8, 8)).sum() + place.write(torch.rand(1, 1, 3, 3)).sum()
        (gradient,) = torch.autograd.grad(loss, given)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_filters_are_float32_or_better_under_autocast():
    head = WindowHead(state_features=8, number=3, height=8, width=8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        place = head(torch.randn(2, 2, 2, 2))
    assert place.rows.dtype == place.columns.dtype == place.intensity.dtype == torch.float32
    assert place.rows.shape == (2, 3, 8)


def test_one_row_of_a_filter_by_hand():
    one = torch.ones(1, dtype=torch.float64)
    found = filters(centre=2 * one, stride=one, log_variance=0 * one, number=1, size=3)[0, 0]
    side = math.exp(-0.5)
    expected = torch.tensor([side, 1.0, side], dtype=torch.float64) / (1 + 2 * side)
    torch.testing.assert_close(found, expected)
