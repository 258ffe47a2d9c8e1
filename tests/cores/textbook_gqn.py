"""GQN as a textbook has it: everything concatenated at every step, every map materialised, nothing computed ahead."""

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence


class TextbookStep(nn.Module):
    def __init__(self, config, shapes):
        super().__init__()
        hidden, scale, kernel = config.hidden_channels, config.canvas_scale, config.kernel_size
        shared = shapes.representation.channels + shapes.query_width
        lstm = {"kernel_size": kernel, "padding": kernel // 2}
        self.generator = nn.Conv2d(shared + config.z_channels + hidden, 4 * hidden, **lstm)
        self.inference = nn.Conv2d(shared + 2 * config.read_channels + 2 * hidden, 4 * hidden, **lstm)
        self.delta = nn.ConvTranspose2d(hidden, config.canvas_channels, scale, stride=scale)
        self.read_target = nn.Conv2d(shapes.target[0], config.read_channels, scale, stride=scale)
        self.read_canvas = nn.Conv2d(config.canvas_channels, config.read_channels, scale, stride=scale)


def lstm(convolution, inputs, hidden, cell):
    gates = convolution(torch.cat([*inputs, hidden], dim=1))
    enter, candidate, out, forget = gates.chunk(4, dim=1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return out.sigmoid() * cell.tanh(), cell


class TextbookGqn(nn.Module):
    """Eslami et al. 2018, supplement, algorithm S1, one query at a time."""

    def __init__(self, config, shapes):
        super().__init__()
        self.config, self.shapes = config, shapes
        self.sets = nn.ModuleList(TextbookStep(config, shapes) for _ in range(1 if config.shared else config.steps))
        padding = config.kernel_size // 2
        heads = (config.hidden_channels, 2 * config.z_channels, config.kernel_size)
        self.eta_pi = nn.Conv2d(*heads, padding=padding)
        self.eta_q = nn.Conv2d(*heads, padding=padding)
        self.eta_g = nn.Conv2d(config.canvas_channels, shapes.prediction_channels, 1)

    def forward(self, representation, query, target, noise):
        """representation [C, h, w], query [P], target [C, H, W], noise [L, z, h, w] -> dictionary of what came out."""
        config = self.config
        size = [side // config.canvas_scale for side in self.shapes.target[1:]]
        scene = representation[None].expand(1, -1, *size)
        pose = query[None, :, None, None].expand(1, -1, *size)
        zeros = torch.zeros(1, config.hidden_channels, *size, dtype=query.dtype)
        h_g = c_g = h_e = c_e = zeros
        canvas = torch.zeros(1, config.canvas_channels, *self.shapes.target[1:], dtype=query.dtype)
        latents, kls, log_ratio = [], [], 0.0
        for index in range(config.steps):
            step = self.sets[0 if config.shared else index]
            prior = self.normal(self.eta_pi(h_g))
            seen = [scene, pose, step.read_target(target[None]), h_g, step.read_canvas(canvas)]
            h_e, c_e = lstm(step.inference, seen, h_e, c_e)
            posterior = self.normal(self.eta_q(h_e))
            z = posterior.mean + posterior.stddev * noise[index]
            h_g, c_g = lstm(step.generator, [scene, pose, z], h_g, c_g)
            canvas = canvas + step.delta(h_g)
            latents.append(z[0])
            kls.append(kl_divergence(posterior, prior).sum())
            log_ratio = log_ratio + (posterior.log_prob(z) - prior.log_prob(z)).sum()
        return {
            "prediction": self.eta_g(canvas)[0],
            "latents": torch.stack(latents),
            "kl": torch.stack(kls),
            "log_ratio": log_ratio,
        }

    def normal(self, parameters):
        mean, log_scale = parameters.split(self.config.z_channels, dim=1)
        return Normal(mean, log_scale.exp())


def correspondence(core, book):
    """Yields (name, parameter of the zoo's core, the same numbers among the textbook's parameters as a function).

    The function takes a tensor of the textbook parameter's shape and returns the part that corresponds.
    """
    for name in ("eta_pi", "eta_q", "eta_g"):
        for kind in ("weight", "bias"):
            yield f"{name}.{kind}", getattr(getattr(core, name), kind), getattr(getattr(book, name), kind), whole
    for index, (step, other) in enumerate(zip(core.steps, book.sets, strict=True)):
        for name in ("delta", "read_target", "read_canvas"):
            if getattr(step, name) is None:
                continue
            for kind in ("weight", "bias"):
                yield (
                    f"{index}.{name}.{kind}",
                    getattr(getattr(step, name), kind),
                    getattr(getattr(other, name), kind),
                    whole,
                )
        for name in ("generator", "inference"):
            cell, convolution = getattr(step, name), getattr(other, name)
            gates, start = cell.bias.shape[0], 0
            yield f"{index}.{name}.bias", cell.bias, convolution.bias, lambda t, gates=gates: t[:gates, None, None]
            for group in ("from_scene", "from_query", "from_step"):
                layer = getattr(cell, group)
                if layer is None:
                    continue
                stop = start + layer.in_channels

                def part(tensor, gates=gates, start=start, stop=stop):
                    return tensor[:gates, start:stop]

                yield f"{index}.{name}.{group}", layer.weight, convolution.weight, part
                start = stop


def whole(tensor):
    return tensor


@torch.no_grad()
def copy(core, book, *, to):
    """Copies all weights from the one to the other; ``to`` is "book" or "core"."""
    for _, parameter, other, part in correspondence(core, book):
        if to == "book":
            part(other.data).copy_(parameter)
        else:
            parameter.copy_(part(other.data))
    for step, other in zip(core.steps, book.sets, strict=True):
        if step.first:
            # What the first step reads of an empty canvas is a constant, which its own bias can hold.
            other.read_canvas.bias.zero_()
