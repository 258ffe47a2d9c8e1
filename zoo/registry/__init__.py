"""Registry files -> validated variants -> models."""
