"""Clothing Co-Parsing as COCO files: data/ccp/{photos/,annotations/}.

Made by ``fashion data convert ccp`` and ``fashion data split --lists`` (README, "Data"). The
dataloaders are those of iMaterialist; only where the files are differs.
"""

_base_ = "./imaterialist.py"

data_root = "{{$FASHION_DATA:data}}/ccp/"
place = dict(data_root=data_root, data_prefix=dict(img="photos/"))

train_dataloader = dict(
    dataset=dict(data_root=data_root, data_prefix=dict(img="{{$FASHION_CACHE:photos}}/"))
)
val_dataloader = dict(dataset=place)
test_dataloader = dict(dataset=place)
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
