"""The shared ELBO trainer, its checkpoints and its records."""
