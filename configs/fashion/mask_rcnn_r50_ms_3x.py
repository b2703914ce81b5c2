"""Mask R-CNN R50-FPN, 3x, short side drawn from 640 to 800 px: the usual strong baseline.

    mim train mmdet configs/fashion/mask_rcnn_r50_ms_3x.py

Expected: not run. On COCO the same step is worth 34.7 -> 37.1 mask AP (mmdetection's tables,
multi-scale and 3x together).
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist_ms.py",
    "../_base_/schedules/schedule_3x.py",
    "../_base_/runtime.py",
]
