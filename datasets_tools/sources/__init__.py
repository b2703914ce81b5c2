"""Readers of dataset formats, one a file; each yields masks and knows nothing else."""
