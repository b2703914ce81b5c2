"""Mask R-CNN R101-FPN, 3x, on iMaterialist 2019: what a deeper backbone buys.

    mim train mmdet configs/fashion/mask_rcnn_r101_3x.py

Expected: not run. For scale: Fashionpedia's own R101-FPN baseline has 40.7 mask AP at 3x.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r101.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/runtime.py",
]
