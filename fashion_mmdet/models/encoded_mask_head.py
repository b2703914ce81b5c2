"""``EncodedMaskHead``: mmdet's mask head, whose masks come out as run-length codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

from fashion_mmdet.core.matching import MAX_DETECTIONS
from fashion_mmdet.core.paste import paste_mask
from fashion_mmdet.core.rle import decode


class EncodedMask(dict):
    """A compressed COCO code, ``size`` and ``counts``, that can be indexed as its bitmap, too.

    mmdet's inferencer takes masks for bitmaps; so it finds one, made when it asks.

    Attributes:
        grid: (H, W) float32, the probabilities over the box that the mask was made of; None where
            it was made of something else. No item: what writes a mask writes the code alone.
        box_xyxy: (4,) float32, px of the photo, the box that the grid was stretched into; likewise.
        threshold: the probability from which on a pixel is of the mask; likewise.

    >>> mask = EncodedMask(size=[2, 2], counts="13")
    >>> mask["size"], mask[:, 0].tolist()
    ([2, 2], [0, 1])
    """

    grid: np.ndarray | None = None
    box_xyxy: np.ndarray | None = None
    threshold: float | None = None

    @classmethod
    def pasted(
        cls,
        grid: np.ndarray,
        box_xyxy: np.ndarray,
        height_px: int,
        width_px: int,
        threshold: float,
    ) -> EncodedMask:
        """Return the mask of a grid; arguments as of :func:`.core.paste.paste_mask`."""
        mask = cls(paste_mask(grid, box_xyxy, height_px, width_px, threshold))
        mask.grid, mask.box_xyxy, mask.threshold = grid, box_xyxy, float(threshold)
        return mask

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else np.asarray(self)[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return decode(dict(self)).astype(dtype or np.uint8, copy=False)


class EncodedMasks(Sequence[EncodedMask]):
    """The masks of one image.

    A list would not do: what writes mmdet's results (``mim test --out``) asks for ``numpy()``, and
    mmengine makes plain dictionaries of those in a list before.
    """

    def __init__(self, masks: Iterable[EncodedMask]) -> None:
        self._masks = list(masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, key: Any) -> Any:
        found = self._masks[key]
        return EncodedMasks(found) if isinstance(key, slice) else found

    @staticmethod
    def cat(parts: Iterable[EncodedMasks]) -> EncodedMasks:
        """Join masks, as ``InstanceData`` does where it is indexed."""
        return EncodedMasks(mask for part in parts for mask in part)

    def numpy(self) -> EncodedMasks:
        """Return itself: each mask is taken for an array."""
        return self


@MODELS.register_module()
class EncodedMaskHead(FCNMaskHead):
    """``FCNMaskHead`` with the same weights and losses, and another end.

    ``pred_instances.masks`` are :class:`EncodedMasks` of the photo's size instead of a (N, H, W)
    bitmap, made one by one within their boxes: memory is that of one box, and what scores, draws
    or writes masks encodes nothing again. On an image without detections it stays mmdet's empty
    tensor.

    Detections that COCO does not count, beyond the best 100 of an image and class, go before their
    masks are made. (Models here give 100 an image and never have them.)
    """

    def predict_by_feat(
        self,
        mask_preds: Any,
        results_list: list[InstanceData],
        batch_img_metas: list[dict[str, Any]],
        rcnn_test_cfg: Any,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> list[InstanceData]:
        """Return the detections of each image, with masks; see mmdet for the arguments."""
        kept_preds, kept_results = [], []
        for preds, results in zip(mask_preds, results_list, strict=True):
            keep = _counted(results)
            all_kept = bool(keep.all())
            kept_preds.append(preds if all_kept else preds[keep])
            kept_results.append(results if all_kept else results[keep])
        return super().predict_by_feat(
            kept_preds, kept_results, batch_img_metas, rcnn_test_cfg, rescale, activate_map
        )

    def _predict_by_feat_single(
        self,
        mask_preds: torch.Tensor,
        bboxes: torch.Tensor,
        labels: torch.Tensor,
        img_meta: dict[str, Any],
        rcnn_test_cfg: Any,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Any:
        threshold = rcnn_test_cfg.mask_thr_binary
        if threshold <= 0 or torch.onnx.is_in_onnx_export():
            # mmdet's own way to ask for grey masks, or for operators alone.
            return super()._predict_by_feat_single(
                mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale, activate_map
            )
        scale = bboxes.new_tensor(img_meta["scale_factor"]).repeat((1, 2))
        height_px, width_px = img_meta["ori_shape"][:2]
        if rescale:
            bboxes /= scale  # in place: the caller's boxes are to be the photo's, as in mmdet
        else:
            width_px = int(np.round(width_px * scale[0, 0].item()))
            height_px = int(np.round(height_px * scale[0, 1].item()))
        number = torch.arange(len(mask_preds), device=mask_preds.device)
        of_label = mask_preds[:, 0] if self.class_agnostic else mask_preds[number, labels]
        if not activate_map:  # in augmented tests they have been activated before
            of_label = of_label.sigmoid()
        grids_NHW = of_label.float().cpu().numpy()
        boxes_xyxy = bboxes.float().cpu().numpy()
        return EncodedMasks(
            EncodedMask.pasted(grid, box, height_px, width_px, threshold)
            for grid, box in zip(grids_NHW, boxes_xyxy, strict=True)
        )


def _counted(results: InstanceData) -> torch.Tensor:
    """Return (N,) bool: the best of each class, as many as COCO counts."""
    n = len(results.labels)
    if n <= MAX_DETECTIONS:
        return torch.ones(n, dtype=torch.bool, device=results.labels.device)
    order = torch.argsort(results.scores, descending=True, stable=True)
    keep = torch.zeros(n, dtype=torch.bool, device=order.device)
    for label in results.labels.unique():
        keep[order[results.labels[order] == label][:MAX_DETECTIONS]] = True
    return keep
