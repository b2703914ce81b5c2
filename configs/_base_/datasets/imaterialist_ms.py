"""iMaterialist 2019 with the short side drawn from 640 to 800 px in training."""

_base_ = "./imaterialist.py"

train_pipeline = [
    dict(type="LoadPhoto"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomResize", scale=[(1333, 640), (1333, 800)], keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
