"""Photos and masks resized once to a working size, for training (``fashion data cache``)."""
