"""iMaterialist 2019 with photos of rare classes repeated (Gupta et al. 2019, LVIS).

A photo is repeated sqrt(oversample_thr / f) times, f being the share of photos that its rarest
class is in; classes in more than ``oversample_thr`` of the photos change nothing.
"""

_base_ = "./imaterialist.py"

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="ClassBalancedDataset",
        oversample_thr=0.01,
        dataset={{_base_.train_dataloader.dataset}},
    )
)
