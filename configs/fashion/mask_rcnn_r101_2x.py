"""Mask R-CNN R101-FPN, 2x, on iMaterialist 2019: what a deeper backbone buys.

    mim train mmdet configs/fashion/mask_rcnn_r101_2x.py

Expected: not run. For scale: Fashionpedia's own R101-FPN baseline has 39.2 mask AP at 2x.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r101.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_2x.py",
    "../_base_/runtime.py",
]
