"""1x for sets of a few hundred photos: 500 iterations of warm-up would be a quarter of the run."""

_base_ = "./schedule_1x.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
