"""What every other room builds on: stdlib, numpy and pycocotools only."""
