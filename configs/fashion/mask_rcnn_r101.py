"""Mask R-CNN R101-FPN, 1x, on iMaterialist 2019: what a deeper backbone buys.

    mim train mmdet configs/fashion/mask_rcnn_r101.py

Expected: not run. For scale: Fashionpedia's own R101-FPN baseline has 36.7 mask AP at 1x.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r101.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/runtime.py",
]
