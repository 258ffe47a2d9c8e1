"""An example of a plug-in: one core, one encoder, one likelihood, and variants that use them in ``registry.yaml``."""
