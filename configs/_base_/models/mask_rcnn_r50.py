"""Mask R-CNN, ResNet-50 FPN, for the 49 categories, from COCO weights.

``num_classes`` is set here. With classes of your own set it in both heads (README, "Your own
photos"): a base's variable, given again in a leaf, changes nothing. FASHION_WEIGHTS names another
checkpoint to start from (a file or an address), or ``none`` to start from nothing but the
backbone's initialisation.
"""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

num_classes = 49

weights = "{{$FASHION_WEIGHTS:https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_2x_coco/mask_rcnn_r50_fpn_2x_coco_bbox_mAP-0.392__segm_mAP-0.354_20200505_003907-3e542a40.pth}}"  # noqa: E501

model = dict(
    backbone=dict(
        # The COCO checkpoint brings the backbone along; a second download would be thrown away.
        init_cfg=None,
        # From nothing, a frozen stage or frozen batch statistics would stay random for good.
        frozen_stages=-1 if weights == "none" else 1,
        norm_eval=weights != "none",
    ),
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes),
        # mmdet's head, whose masks come out encoded: no bitmaps of whole photos.
        mask_head=dict(type="EncodedMaskHead", num_classes=num_classes),
    ),
)
