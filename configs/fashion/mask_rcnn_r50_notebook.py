"""The Colab notebook's recipe, so that everything else can be measured against it.

    mim train mmdet configs/fashion/mask_rcnn_r50_notebook.py

Photos squashed to 512 x 512, batch 4, COCO weights; heads alone for an epoch at rate 2e-3, then
all layers to epoch 3 at 1e-3; horizontal flip; gradients clipped at norm 5; RPN anchors of 16 to
256 px; 100 RoIs an image; detections under 0.7 dropped, NMS at 0.3. Where it differs: FPN and
heads are mmdet's, not Matterport's; an epoch is the whole training set, not 200 steps; the
stem stays frozen, as COCO weights of mmdet are trained.

The notebook had mAP@0.5 0.250 over 208 images, training images counted in. Expected here: not
run on iMaterialist.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50.py",
    "../_base_/datasets/imaterialist_512.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/runtime.py",
]

model = dict(
    # strides 4..64 x scale 4 = anchors of 16, 32, 64, 128, 256 px
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    train_cfg=dict(rcnn=dict(sampler=dict(num=100, pos_fraction=0.33))),
    test_cfg=dict(rcnn=dict(score_thr=0.7, nms=dict(iou_threshold=0.3))),
)

train_cfg = dict(max_epochs=3)
auto_scale_lr = dict(enable=False)
optim_wrapper = dict(optimizer=dict(lr=2e-3), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=3, by_epoch=True, milestones=[1], gamma=0.5)
]
custom_hooks = [dict(type="HeadsFirstHook", epochs=1)]
find_unused_parameters = True
