"""iMaterialist (Fashion) 2019 as COCO files: data/imaterialist/{train/,annotations/}.

Made by ``fashion data convert imaterialist2019`` and ``fashion data split`` (README, "Data").
FASHION_DATA names another folder than ``data``. FASHION_CACHE names what ``fashion data cache`` has
made of the training photos, e.g. ``cache`` for data/imaterialist/cache; only training reads it.
"""

data_root = "{{$FASHION_DATA:data}}/imaterialist/"

train_pipeline = [
    dict(type="LoadPhoto"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),  # by this name, which mmdet's inferencer looks for
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tta_pipeline = [  # for --tta: short sides of 800, 640 and 960 px, each upright and flipped
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(1333, 800), keep_ratio=True),
                dict(type="Resize", scale=(1067, 640), keep_ratio=True),
                dict(type="Resize", scale=(1600, 960), keep_ratio=True),
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="PackDetInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="FashionDataset",
        data_root=data_root,
        ann_file="{{$FASHION_CACHE:annotations}}/train.json",
        data_prefix=dict(img="{{$FASHION_CACHE:train}}/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="FashionDataset",
        data_root=data_root,
        ann_file="annotations/val.json",
        data_prefix=dict(img="train/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="FashionDataset",
        data_root=data_root,
        ann_file="annotations/test.json",
        data_prefix=dict(img="train/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type="FashionMetric", ann_file=data_root + "annotations/val.json")
test_evaluator = dict(type="FashionMetric", ann_file=data_root + "annotations/test.json")
