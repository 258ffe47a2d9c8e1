"""The text of a small entry of a registry file, below its name."""

ENTRY = """\
    title: One
    paper: nobody
    status: extension
    task: {use: render}
    encoder: {use: none}
    core: {use: vae, z_channels: 8, channels: 8}
    likelihood: {use: annealed_gaussian}
    image_size: 16
    training: {steps: 4, batch_size: 4, contexts: {minimum: 0, maximum: 2}}
"""
