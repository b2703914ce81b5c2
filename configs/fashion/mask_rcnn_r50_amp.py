"""Mask R-CNN R50-FPN, 1x, in mixed precision: fp16 on a GPU, bf16 on a CPU.

    mim train mmdet configs/fashion/mask_rcnn_r50_amp.py

Expected: not run.
"""

_base_ = "./mask_rcnn_r50.py"

optim_wrapper = dict(type="AutocastOptimWrapper")
