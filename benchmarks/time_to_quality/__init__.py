"""Time to quality: how long a recipe trains until it predicts unseen scenes with a given excess NELBO."""
