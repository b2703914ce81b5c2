"""Mask R-CNN R50-FPN, 2x (24 epochs), on iMaterialist 2019.

    mim train mmdet configs/fashion/mask_rcnn_r50_2x.py

Expected: not run. For scale: Fashionpedia's own R50-FPN baseline has 38.1 mask AP at 2x.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_2x.py",
    "../_base_/runtime.py",
]
