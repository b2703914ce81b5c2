"""One photo as one model sees it: resized, perhaps flipped, and back again."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.structures import InstanceData
from torch import nn

#: direction of a flip -> axes of a (..., height, width) grid that it turns round
_AXES = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}


class View:
    """The features of one photo, and what the heads of their model make of boxes on them.

    Boxes come and go in the photo's own pixels, (x1, y1, x2, y2); the view's own, in which the
    network works, do not leave it.

    Args:
        model: a two-stage detector.
        image: (3, H, W) uint8, as the pipeline gives it.
        sample: that image's; it must name ``img_shape`` and ``scale_factor``, and where the image
            is flipped ``flip`` and ``flip_direction``.
    """

    def __init__(self, model: nn.Module, image: torch.Tensor, sample: DetDataSample) -> None:
        self.model = model
        # Another preprocessor notes its own padding: the sample is not shared between models.
        given = DetDataSample(metainfo=sample.metainfo)
        data = model.data_preprocessor({"inputs": [image], "data_samples": [given]}, False)
        self._sample = data["data_samples"][0]
        self.meta: dict[str, Any] = self._sample.metainfo
        self.features = model.extract_feat(data["inputs"])

    @property
    def _direction(self) -> str | None:
        return self.meta["flip_direction"] if self.meta.get("flip") else None

    def to_photo(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return (N, 4 or 4 x classes) boxes of this view in the photo's pixels."""
        if self._direction:
            boxes = bbox_flip(boxes, self.meta["img_shape"], self._direction)
        return boxes / self._scale(boxes)

    def from_photo(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return (N, 4) boxes of the photo as they lie in this view."""
        boxes = boxes * self._scale(boxes)
        if self._direction:
            boxes = bbox_flip(boxes, self.meta["img_shape"], self._direction)
        return boxes

    def _scale(self, boxes: torch.Tensor) -> torch.Tensor:
        scale = boxes.new_tensor(self.meta["scale_factor"])  # of x and y
        return scale.repeat(boxes.shape[-1] // 2)

    def proposals(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 4) boxes of the photo and (N,) scores, as the region proposals give them."""
        (found,) = self.model.rpn_head.predict(self.features, [self._sample], rescale=False)
        return self.to_photo(found.bboxes), found.scores

    def boxes(self, proposals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the box head makes of (N, 4) proposals, nothing thresholded.

        Returns:
            (N, 1 or classes, 4) boxes of the photo, and (N, classes + 1) scores with the
            background last.
        """
        given = InstanceData(bboxes=self.from_photo(proposals))
        (raw,) = self.model.roi_head.predict_bbox(
            self.features, [self.meta], [given], rcnn_test_cfg=None, rescale=False
        )
        # Of no proposals, -1 would be any number of classes.
        n_boxes = raw.bboxes.shape[-1] // 4
        return self.to_photo(raw.bboxes).view(len(proposals), n_boxes, 4), raw.scores

    def grids(self, boxes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return (N, M, M) probabilities, upright, of the masks of (N, 4) boxes of labels (N,)."""
        rois = self.from_photo(boxes)
        rois = torch.cat([rois.new_zeros((len(rois), 1)), rois], dim=1)
        raw = self.model.roi_head._mask_forward(self.features, rois)["mask_preds"]
        number = torch.arange(len(raw), device=raw.device)
        agnostic = self.model.roi_head.mask_head.class_agnostic
        grids = raw[:, 0] if agnostic else raw[number, labels]
        grids = grids.float().sigmoid()
        return grids.flip(_AXES[self._direction]) if self._direction else grids
