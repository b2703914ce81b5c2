"""Mask R-CNN R101-FPN, 1x, on Clothing Co-Parsing, from COCO weights, for a GPU.

    mim train mmdet configs/ccp/mask_rcnn_r101_ccp.py

Expected: not run (no GPU at hand). The recipe that was run is mask_rcnn_r50_ccp_cpu.py.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r101.py",
    "../_base_/datasets/ccp.py",
    "../_base_/schedules/schedule_1x_small.py",
    "../_base_/runtime.py",
]
