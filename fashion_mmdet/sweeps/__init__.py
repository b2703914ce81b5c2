"""Hyperparameter search: a W&B sweep file run without W&B, and what came of it. No torch."""
