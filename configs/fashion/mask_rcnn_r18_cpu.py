"""Mask R-CNN R18-FPN at 320 px for machines without a GPU: hours instead of weeks.

    mim train mmdet configs/fashion/mask_rcnn_r18_cpu.py

For trying a data set or a change before a GPU is booked, not for figures. Expected: not run.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r18.py",
    "../_base_/datasets/imaterialist_320.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/runtime.py",
]
