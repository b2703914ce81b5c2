"""Hyperparameter search: a W&B sweep file run without W&B, and what came of it. No torch."""

#: environment variable: the address of the study's database
STORAGE = "FASHION_STUDY"
#: config key of the seed, which the finals vary
SEED = "randomness.seed"
