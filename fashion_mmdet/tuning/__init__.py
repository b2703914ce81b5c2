"""Operating points chosen from saved detections and measured on other photos: no torch, no GPU."""
