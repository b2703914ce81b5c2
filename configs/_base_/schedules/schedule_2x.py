"""24 epochs, rate cut at 16 and 22."""

_base_ = "mmdet::_base_/schedules/schedule_2x.py"

auto_scale_lr = dict(enable=True)
