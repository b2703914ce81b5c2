"""Mask R-CNN R18 at 288 px on Clothing Co-Parsing, sized for two CPU cores.

    FASHION_BACKBONE=resnet18.pth fashion train configs/ccp/mask_rcnn_r18_ccp_cpu.py

Three stages of an ImageNet ResNet-18 under a 128-channel FPN, batch 4, 3 epochs, bfloat16 where the
processor has it (elsewhere: --cfg-options optim_wrapper.type=OptimWrapper).

Measured 2026-11-28 on the 150 test photos, two seeds: box AP 13.1, mask AP 10.7, mask AP50 24.6,
after 28 and 36 minutes on one of two busy virtual cores of an AMD EPYC (README, "Results"). A mask
for each class (model.roi_head.mask_head.class_agnostic=False) was better on them: 15.2, 12.5, 27.8;
other seeds might turn that.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r18.py",
    "../_base_/datasets/ccp_288.py",
    "../_base_/schedules/adamw_cpu.py",
    "../_base_/runtime.py",
]

model = dict(
    # The fourth stage is left out, as in the R50 recipe that this one is compared with.
    backbone=dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
    neck=dict(in_channels=[64, 128, 256]),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
)

train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=3, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", begin=0, end=3, by_epoch=True, convert_to_iter_based=True),
]
optim_wrapper = dict(type="AutocastOptimWrapper", optimizer=dict(lr=5e-4))
