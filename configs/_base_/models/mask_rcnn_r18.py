"""Mask R-CNN, ResNet-18 FPN, made light for a CPU.

Nobody publishes COCO weights for it: it starts from an ImageNet backbone, torchvision's by
default, or the file that FASHION_BACKBONE names, or from nothing (FASHION_BACKBONE=none).

A Mask R-CNN step is mostly 256-channel 3 x 3 convolutions (FPN, RPN, mask head: some 95 of the
130 billion multiplications of a 288 px batch of four) and RoIAlign's backward pass. Half the
channels, a shorter mask head and fewer RoIs cut it to a third. One mask and one box regressor
for all classes learn from every instance, which is what a short schedule on a small set needs.
"""

_base_ = "./mask_rcnn_r50.py"

backbone_weights = "{{$FASHION_BACKBONE:torchvision://resnet18}}"

model = dict(
    backbone=dict(
        depth=18,
        frozen_stages=-1 if backbone_weights == "none" else 1,
        norm_eval=backbone_weights != "none",
        init_cfg=(
            None
            if backbone_weights == "none"
            else dict(_delete_=True, type="Pretrained", checkpoint=backbone_weights)
        ),
    ),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=2), out_channels=128),
        bbox_head=dict(in_channels=128, reg_class_agnostic=True),
        mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=2), out_channels=128),
        mask_head=dict(
            in_channels=128, conv_out_channels=128, num_convs=2, class_agnostic=True
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=1000, max_per_img=500),
        rcnn=dict(sampler=dict(num=128)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=300)),
)

weights = "{{$FASHION_WEIGHTS:none}}"
