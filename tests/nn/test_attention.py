"""Attention over sets equals softmax attention in PyTorch, ignores padding and is defined for empty sets."""

import math

import pytest
import torch

from zoo.nn.attention import (
    CrossAttentionBlock,
    MultiHeadAttention,
    NullToken,
    SelfAttentionBlock,
    Tokens,
    attend,
    positions,
    view_tokens,
    with_pose_and_position,
)

SCENES, QUERIES, NUMBER, WIDTH, HEADS = 2, 3, 5, 8, 2


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(one, other, tolerance=1e-12):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def tokens(number=NUMBER, seed=0):
    return Tokens(random(SCENES, number, WIDTH, seed=seed), torch.ones(SCENES, number, dtype=torch.bool))


def block(kind, seed=0):
    torch.manual_seed(seed)
    if kind == "self":
        return SelfAttentionBlock(channels=WIDTH, heads=HEADS, hidden=12).double()
    return CrossAttentionBlock(channels=WIDTH, token_channels=WIDTH, heads=HEADS, hidden=12).double()


def through(module, queries, given):
    """Runs either block; the self-attending one has no queries but its tokens."""
    return module(given).values if isinstance(module, SelfAttentionBlock) else module(queries, given)


class TestAttend:
    def test_it_is_a_softmax_over_the_kept_keys(self):
        queries, keys, values = random(2, 3, 4), random(2, 5, 4, seed=1), random(2, 5, 6, seed=2)
        mask = torch.tensor([[True, True, False, True, False], [False, True, True, True, True]])
        found = attend(queries, keys, values, mask[:, None])
        for scene in range(2):
            for query in range(3):
                kept = mask[scene].nonzero()[:, 0]
                scores = torch.stack([queries[scene, query] @ keys[scene, key] / math.sqrt(4) for key in kept])
                weights = scores.exp() / scores.exp().sum()
                expected = sum(weight * values[scene, key] for weight, key in zip(weights, kept, strict=True))
                close(found[scene, query], expected)

    @pytest.mark.parametrize("number", [0, 3])
    def test_nothing_to_attend_to_gives_zeros_and_gradients_that_are_numbers(self, number):
        given = [random(2, 3, 4), random(2, number, 4, seed=1), random(2, number, 6, seed=2)]
        for tensor in given:
            tensor.requires_grad_()
        found = attend(*given, torch.zeros(2, 1, number, dtype=torch.bool))
        assert torch.equal(found, torch.zeros(2, 3, 6, dtype=torch.float64))
        found.sum().backward()
        assert all(tensor.grad is not None and bool((tensor.grad == 0).all()) for tensor in given)

    def test_one_row_without_keys_leaves_the_others_alone(self):
        queries, keys, values = random(2, 3, 4), random(2, 5, 4, seed=1), random(2, 5, 6, seed=2)
        mask = torch.ones(2, 3, 5, dtype=torch.bool)
        expected = attend(queries, keys, values, mask)
        mask[0, 1] = False
        found = attend(queries, keys, values, mask)
        assert torch.equal(found[0, 1], torch.zeros(6, dtype=torch.float64))
        close(found[0, [0, 2]], expected[0, [0, 2]])
        close(found[1], expected[1])

    def test_gradients_equal_finite_differences(self):
        mask = torch.tensor([[True, False, True]])
        given = (random(1, 2, 3), random(1, 3, 3, seed=1), random(1, 3, 2, seed=2))
        assert torch.autograd.gradcheck(
            lambda *parts: attend(*parts, mask[:, None]), tuple(part.requires_grad_() for part in given)
        )


@pytest.mark.parametrize("kind", ["self", "cross"])
class TestBlocks:
    def test_padding_changes_nothing(self, kind):
        module, queries, given = block(kind), random(SCENES, QUERIES, WIDTH, seed=5), tokens()
        blank = Tokens(
            torch.full((SCENES, 2, WIDTH), 1e3, dtype=torch.float64), torch.zeros(SCENES, 2, dtype=torch.bool)
        )
        padded = Tokens(*(torch.cat(pair, dim=1) for pair in zip(given, blank, strict=True)))
        expected = through(module, queries, given)
        close(through(module, queries, padded)[:, : expected.shape[1]], expected)

    def test_scenes_do_not_see_each_other(self, kind):
        module, queries, given = block(kind), random(SCENES, QUERIES, WIDTH, seed=5), tokens()
        other = given.values.clone()
        other[1] += 3.0
        before, after = through(module, queries, given), through(module, queries, given._replace(values=other))
        assert torch.equal(before[0], after[0])
        assert not torch.equal(before[1], after[1])

    def test_every_token_is_seen_by_all(self, kind):
        module, queries, given = block(kind), random(SCENES, QUERIES, WIDTH, seed=5), tokens()
        before = through(module, queries, given)
        for index in range(NUMBER):
            other = given.values.clone()
            other[:, index] += random(WIDTH, seed=7)  # a constant alone would be taken out by the norm
            after = through(module, queries, given._replace(values=other))
            assert (before - after).abs().amax(-1).min() > 1e-6

    @pytest.mark.parametrize("number", [0, 1])
    def test_every_parameter_is_in_the_graph_for_any_number_of_tokens(self, kind, number):
        module, queries = block(kind), random(SCENES, QUERIES, WIDTH, seed=5)
        through(module, queries, tokens(number)).square().sum().backward()
        assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


def test_the_order_of_tokens_is_the_order_of_what_self_attention_returns():
    module, given = block("self"), tokens()
    order = [3, 0, 4, 1, 2]
    shuffled = Tokens(*(field[:, order] for field in given))
    close(module(shuffled).values, module(given).values[:, order])


def test_the_order_of_tokens_does_not_matter_to_queries():
    module, queries, given = block("cross"), random(SCENES, QUERIES, WIDTH, seed=5), tokens()
    close(module(queries, Tokens(*(field[:, [3, 0, 4, 1, 2]] for field in given))), module(queries, given))


def test_heads_equal_those_of_torch():
    torch.manual_seed(0)
    ours = MultiHeadAttention(token_channels=WIDTH, channels=WIDTH, heads=HEADS).double()
    theirs = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.to_query.weight, ours.to_key.weight, ours.to_value.weight]))
        zeros = torch.zeros_like(ours.to_query.bias)
        theirs.in_proj_bias.copy_(torch.cat([ours.to_query.bias, zeros, ours.to_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    given, queries = tokens(), random(SCENES, QUERIES, WIDTH, seed=5)
    given = given._replace(mask=torch.tensor([[True, True, True, False, False], [True, False, True, True, True]]))
    expected, _ = theirs(queries, given.values, given.values, key_padding_mask=~given.mask, need_weights=False)
    close(ours(queries, given), expected)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="must divide"):
        MultiHeadAttention(token_channels=4, channels=6, heads=4)


def test_the_null_token_is_added_to_every_scene():
    torch.manual_seed(0)
    module = NullToken(WIDTH).double()
    found = module(tokens(number=0))
    assert found.values.shape == (SCENES, 1, WIDTH)
    assert found.mask.tolist() == [[True]] * SCENES
    padded = module(tokens()._replace(mask=torch.zeros(SCENES, NUMBER, dtype=torch.bool)))
    assert padded.mask.sum().item() == SCENES
    assert torch.equal(padded.values[:, 0], found.values[:, 0])
    assert torch.equal(padded.values[:, 1:], tokens().values)


def test_positions_are_the_middles_of_cells_x_rightwards_and_y_downwards():
    x, y = positions(2, 4, like=random(1))
    close(x, torch.tensor([[-0.75, -0.25, 0.25, 0.75]] * 2, dtype=torch.float64))
    close(y, torch.tensor([[-0.5] * 4, [0.5] * 4], dtype=torch.float64))


def test_tokens_keep_the_mask_of_their_view_and_the_place_and_pose_of_their_cell():
    per_view, poses = random(2, 3, 4, 2, 5), random(2, 3, 7, seed=1)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    found = view_tokens(with_pose_and_position(per_view, poses), mask)
    assert found.values.shape == (2, 3 * 2 * 5, 4 + 7 + 2)
    place = positions(2, 5, like=per_view)
    for scene in range(2):
        for index in range(3 * 2 * 5):
            view, row, column = index // 10, index // 5 % 2, index % 5
            expected = torch.cat([per_view[scene, view, :, row, column], poses[scene, view], place[:, row, column]])
            assert torch.equal(found.values[scene, index], expected)
            assert found.mask[scene, index] == mask[scene, view]
