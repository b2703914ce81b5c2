"""The demo's drawn figures at their own size, 160 x 224 px: data/demo/{raw/train/,annotations/}."""

_base_ = "./imaterialist.py"

data_root = "{{$FASHION_DATA:data}}/demo/"

train_pipeline = [
    dict(type="LoadPhoto"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(224, 160), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(224, 160), keep_ratio=True),
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
                dict(type="Resize", scale=(224, 160), keep_ratio=True),
                dict(type="Resize", scale=(179, 128), keep_ratio=True),
                dict(type="Resize", scale=(280, 200), keep_ratio=True),
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="PackDetInputs")],
        ],
    ),
]

place = dict(data_root=data_root, data_prefix=dict(img="raw/train/"))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    # Small photos: whatever FASHION_CACHE says of another set, these are read as they are.
    dataset=dict(ann_file="annotations/train.json", pipeline=train_pipeline, **place),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **place))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **place))
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
