"""Mask R-CNN R50-FPN, 1x, on iMaterialist 2019: where every comparison starts.

    mim train mmdet configs/fashion/mask_rcnn_r50.py
    fashion train configs/fashion/mask_rcnn_r50.py

Expected mask AP, time, memory: not run (no copy of the full dataset at hand). For scale:
Fashionpedia's own R50-FPN baseline has 34.3 mask AP at 1x (tensorflow/tpu, fashionpedia).
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/runtime.py",
]
