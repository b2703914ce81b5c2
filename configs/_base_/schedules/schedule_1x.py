"""12 epochs at learning rate 0.02 per 16 images, whatever the number of GPUs."""

_base_ = "mmdet::_base_/schedules/schedule_1x.py"

# Scale the rate by (batch size x GPUs) / 16, so that one GPU trains at the rate it can bear.
auto_scale_lr = dict(enable=True)
