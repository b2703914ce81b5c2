"""Mask R-CNN R50 at 288 px on Clothing Co-Parsing, sized for two CPU cores.

    FASHION_BACKBONE=resnet50_caffe.pth fashion train configs/ccp/mask_rcnn_r50_ccp_cpu.py

Three stages of a caffe-style ResNet-50 (BGR, mean subtracted, no scaling) under a 128-channel
FPN, batch 2, 4 epochs. The backbone's weights come from OpenMMLab's copy of Detectron2's by
default.

Measured 2026-11-28 on the 150 test photos: box AP 18.3, mask AP 14.1, mask AP50 30.8, after 57
minutes on one of two busy virtual cores of an AMD EPYC with bfloat16 (README, "Results"; elsewhere:
--cfg-options optim_wrapper.type=OptimWrapper). Next to try: a mask per class, with which the R18
recipe did better; the fourth stage; more epochs.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r18.py",
    "../_base_/datasets/ccp_288.py",
    "../_base_/schedules/adamw_cpu.py",
    "../_base_/runtime.py",
]

backbone_weights = "{{$FASHION_BACKBONE:open-mmlab://detectron2/resnet50_caffe}}"
model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[1, 1, 1], bgr_to_rgb=False),
    backbone=dict(
        depth=50,
        # Two stages frozen: a third of the backbone's work, for layers that change least.
        frozen_stages=-1 if backbone_weights == "none" else 2,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        style="caffe",
        init_cfg=(
            None
            if backbone_weights == "none"
            else dict(_delete_=True, type="Pretrained", checkpoint=backbone_weights)
        ),
    ),
    neck=dict(in_channels=[256, 512, 1024]),
    # Anchors of 16 to 256 px: at this size a shoe is 15 to 30 px long and no photo holds 512.
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
)

train_cfg = dict(max_epochs=4, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", begin=0, end=4, by_epoch=True, convert_to_iter_based=True),
]
optim_wrapper = dict(type="AutocastOptimWrapper", optimizer=dict(lr=3e-4))
