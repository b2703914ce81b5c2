"""Mask R-CNN R50-FPN, 3x (36 epochs), on iMaterialist 2019.

    mim train mmdet configs/fashion/mask_rcnn_r50_3x.py

Expected: not run. For scale: Fashionpedia's own R50-FPN baseline has 39.2 mask AP at 3x.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/runtime.py",
]
