"""Training with Lightning and Hydra."""
