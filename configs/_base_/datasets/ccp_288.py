"""Clothing Co-Parsing at 288 px, for CPUs: small photos, few workers."""

_base_ = "./imaterialist.py"

data_root = "{{$FASHION_DATA:data}}/ccp/"

train_pipeline = [
    dict(type="LoadPhoto"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(448, 288), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(448, 288), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tta_pipeline = [  # for --tta: the test's size, 0.8 and 1.25 times that, each upright and flipped
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(448, 288), keep_ratio=True),
                dict(type="Resize", scale=(358, 230), keep_ratio=True),
                dict(type="Resize", scale=(560, 360), keep_ratio=True),
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="PackDetInputs")],
        ],
    ),
]

place = dict(data_root=data_root, data_prefix=dict(img="photos/"))
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img="{{$FASHION_CACHE:photos}}/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **place))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **place))
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
