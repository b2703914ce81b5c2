"""The demo: Mask R-CNN R18 from nothing on 320 drawn figures, in minutes on two CPU cores.

    make demo        (which runs: fashion demo)

It shows that the whole chain works, from iMaterialist's CSV to a table, and no more than that:
drawn figures are far easier than photos.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r18.py",
    "../_base_/datasets/demo.py",
    "../_base_/schedules/adamw_cpu.py",
    "../_base_/runtime.py",
]

backbone_weights = "none"
model = dict(
    # From nothing: every stage learns, and batch statistics are the batch's own.
    backbone=dict(frozen_stages=-1, norm_eval=False, init_cfg=None),
    # Anchors of 16 to 256 px, for pictures of 160 x 224.
    rpn_head=dict(anchor_generator=dict(scales=[4])),
)

optim_wrapper = dict(
    optimizer=dict(lr=1e-3), paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0)
)
