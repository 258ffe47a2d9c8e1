"""CGQN as a textbook would write it: one scene, one query, one step after the other, nothing computed ahead.

Every ConvLSTM is one convolution over all that it reads. The weights are those of a core, joined.
"""

import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F


def whole(cell, *groups):
    """The one kernel of a cell over its groups of inputs, in their order."""
    return torch.cat([getattr(cell, f"from_{group}").weight for group in groups], dim=1)


def advance(kernel, bias, inputs, hidden, cell):
    """i, g, o, f = conv([inputs, h]); c' = f c + i g; h' = o tanh(c')."""
    gates = F.conv2d(torch.cat([*inputs, hidden])[None], kernel, padding=kernel.shape[-1] // 2)[0] + bias
    i, g, o, f = gates.chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def latents(core, r, r_prime, noise):
    """Returns z_1..z_L of one scene, L KL divergences and log q(z) - log p(z); r and r' are [C, H/4, W/4]."""
    config = core.config
    zeros = r.new_zeros(config.hidden_channels, *core.state_size)
    h_prior = c_prior = h_posterior = c_posterior = zeros
    z = r.new_zeros(config.z_channels, *core.state_size)
    found, kl, log_ratio = [], [], 0.0
    for step in range(config.steps):
        h_prior, c_prior, p = _distribution(core.prior, r, z, h_prior, c_prior)
        h_posterior, c_posterior, q = _distribution(
            core.posterior, torch.cat([r, r_prime]), z, h_posterior, c_posterior
        )
        z = q.mean + q.stddev * noise[step]
        found.append(z)
        kl.append(kl_divergence(q, p).sum())
        log_ratio = log_ratio + (q.log_prob(z) - p.log_prob(z)).sum()
    return found, torch.stack(kl), log_ratio


def _distribution(net, representation, z, hidden, cell):
    read = F.conv2d(representation[None], net.read.weight, net.read.bias, stride=net.read.stride)[0]
    hidden, cell = advance(whole(net.cell, "scene", "step"), net.cell.bias, [read, z], hidden, cell)
    mean, log_scale = net.eta(hidden[None])[0].chunk(2)
    return hidden, cell, Normal(mean, log_scale.exp())


def rendered(core, found, pose):
    """Returns the prediction [C', H, W] at one pose [P]."""
    config, net = core.config, core.renderer
    hidden = cell = pose.new_zeros(config.hidden_channels, *core.state_size)
    canvas = pose.new_zeros(config.canvas_channels, *core.canvas_size)
    everywhere = pose[:, None, None].expand(-1, *core.state_size)
    for z in found:
        read = net.read(canvas[None])[0]
        hidden, cell = advance(whole(net.cell, "query", "step"), net.cell.bias, [everywhere, z, read], hidden, cell)
        canvas = canvas + net.delta(hidden[None])[0]
    return net.eta_g(canvas[None])[0]
