"""Mask R-CNN R50-FPN, 1x, on iMaterialist 2019, photos of rare classes repeated.

    mim train mmdet configs/fashion/mask_rcnn_r50_balanced.py

For the classes of a few hundred photos; how often they repeat is the sweep loss_balance.yaml's.
Expected: not run (no copy of the full dataset at hand).
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist_balanced.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/runtime.py",
]
