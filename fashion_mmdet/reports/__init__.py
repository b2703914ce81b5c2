"""Reports on runs, from ``run.json`` and the evidence beside it: no torch, no model, no GPU."""
