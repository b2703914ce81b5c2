"""``Predictor``: a trained model that takes photos as arrays and gives typed results."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope

from fashion_mmdet import register
from fashion_mmdet.core.errors import ConfigError, FashionError
from fashion_mmdet.core.operating_point import FILE_NAME, OperatingPoint, read_operating_point
from fashion_mmdet.core.prediction import Prediction
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.core.trained import find_trained
from fashion_mmdet.visualization.drawing import draw_prediction, palette_of

from .configs import read_config
from .models import (
    checked_device,
    inner_dataset,
    load_model,
    metainfo_of,
)
from .photos import read_photo

Image = np.ndarray | str | os.PathLike[str]


class Predictor:
    """A trained model.

    >>> predictor = Predictor("work_dirs/mask_rcnn_r50")            # doctest: +SKIP
    >>> found = predictor("photo.jpg")                              # doctest: +SKIP
    >>> found.names, found.scores, found.masks_NHW.shape            # doctest: +SKIP

    Args:
        run: a work dir, whose best checkpoint is taken, else its last; or a ``.pth`` file. The
            config is the one beside it, never the text inside the checkpoint.
        config: the config, where it lies elsewhere.
        point: which detections are kept: a point, a file of ``fashion tune``, or None for the
            file that lies in the run's folder, else scores of 0.5 and more.
        score: lowest score of every class, instead of the point's.
        tta: average over flip and scales (slower by the number of views, six by default).
        ensemble: further runs or checkpoints of the same classes, which vote.
        device: ``"cuda:0"``, ``"cpu"``; None takes a GPU where there is one.

    Attributes:
        classes: class names in label order.
        palette: one RGB colour of 0..255 for each class.
        point: the operating point.
        point_source: the file that it came from; None where it came from none.
        checkpoint: the file of the weights.
        cfg: the config, as it is used.

    Raises:
        FashionError: for files that are missing, damaged, or do not belong together.
    """

    def __init__(
        self,
        run: str | os.PathLike[str],
        *,
        config: str | os.PathLike[str] | None = None,
        point: OperatingPoint | str | os.PathLike[str] | None = None,
        score: float | None = None,
        tta: bool = False,
        ensemble: Sequence[str] = (),
        device: str | None = None,
    ) -> None:
        trained = find_trained(run, config)
        self.checkpoint = trained.checkpoint
        self.cfg = read_config(trained.config)
        register.with_tta(self.cfg, False)  # `mim test --tta` leaves a config with its wrapper
        #: Of the config's text, by which a resumed work is told from another.
        self.cfg_sha256 = hashlib.sha256(self.cfg.pretty_text.encode()).hexdigest()
        init_default_scope(self.cfg.get("default_scope", "mmdet"))
        metainfo = metainfo_of(self.cfg)
        self.classes: tuple[str, ...] = tuple(metainfo["classes"])
        given = metainfo.get("palette")  # a name, where mmdet is to choose
        is_whole = isinstance(given, (list, tuple)) and len(given) >= len(self.classes)
        self.palette = [tuple(map(int, c)) for c in given] if is_whole else palette_of(self.classes)
        #: Detections so far that were no finite numbers, and so left out.
        self.n_not_finite = 0
        self.point_source: Path | None = None
        #: What the file says of how the point was chosen.
        self.point_about: dict[str, Any] = {}
        self.point = self._settle_point(point)
        if score is not None:
            self.point = dataclasses.replace(self.point, score=score, score_of={})
        #: Scores below are dropped by the config itself; None where that cannot be told.
        self.floor = _take_point(self.cfg.model, self.point, is_given=point is not None)
        register.with_tta(self.cfg, tta, [os.fspath(member) for member in ensemble])
        self._pipeline = Compose(_from_arrays(inner_dataset(self.cfg).pipeline))
        self.device = checked_device(device)
        self._model = load_model(self.cfg, self.checkpoint, self.classes, self.device)

    def _settle_point(
        self, point: OperatingPoint | str | os.PathLike[str] | None
    ) -> OperatingPoint:
        if isinstance(point, OperatingPoint):
            return point
        beside = self.checkpoint.parent / FILE_NAME
        if point is None and beside.is_file():
            point = beside
        if point is None:
            return OperatingPoint()
        self.point_source = Path(point)
        chosen, self.point_about = read_operating_point(point, self.classes)
        return chosen

    def __call__(self, image: Image) -> Prediction:
        """Return what is found on one photo: (H, W, 3) uint8, RGB, or a file."""
        return next(iter(self.predict([image])))

    def predict(self, images: Iterable[Image], batch_size: int = 1) -> Iterator[Prediction]:
        """Yield what is found on each photo, in order; memory holds one batch at a time.

        Args:
            images: (H, W, 3) or (H, W) uint8, RGB or grey; or files.
            batch_size: photos that the network sees at once.

        Raises:
            FashionError: for a photo that cannot be read or used.
        """
        if batch_size < 1:
            raise FashionError(f"batch_size: at least 1 expected, got {batch_size}.")
        images = iter(images)
        while batch := list(islice(images, batch_size)):
            yield from self.forward([self.prepare(_bgr(image)) for image in batch])

    def prepare(self, image_bgr: np.ndarray, name: str = "photo") -> dict[str, Any]:
        """Return what the network takes of one photo; may run in another thread.

        Args:
            image_bgr: (H, W, 3) uint8, BGR.
            name: what to call it in an error.
        """
        given = {
            "img": image_bgr, "img_id": 0, "img_path": name,
            "img_shape": image_bgr.shape[:2], "ori_shape": image_bgr.shape[:2],
        }  # fmt: skip
        try:
            item = self._pipeline(given)
        except Exception as error:  # OpenCV's own, of a photo one pixel high and 20,000 wide
            raise FashionError(
                f"{name}: a photo that can be brought to the network's size expected, got one of "
                f"{image_bgr.shape[1]} x {image_bgr.shape[0]} px ({type(error).__name__}). Crop it."
            ) from None
        if item is None:
            raise FashionError(
                f"{name}: a photo that the test pipeline takes expected, got one that it drops. "
                "See test_dataloader.dataset.pipeline of the config."
            )
        return item

    def forward(self, items: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Return what is found on photos that :meth:`prepare` has prepared."""
        with torch.inference_mode():
            samples = self._model.test_step(pseudo_collate(list(items)))
        return [self._prediction(sample) for sample in samples]

    def draw(self, image: Image, prediction: Prediction) -> np.ndarray:
        """Return ``image`` (RGB or a file) with the masks, boxes and names on it, (H, W, 3) RGB."""
        return draw_prediction(_bgr(image)[..., ::-1], prediction, palette=self.palette)

    def _prediction(self, sample: Any) -> Prediction:
        found = sample.pred_instances
        if "masks" not in found:
            raise ConfigError(
                f"{self.cfg.filename}: a model with a mask head expected, got one of boxes alone. "
                "Take a Mask R-CNN."
            )
        scores = found.scores.cpu().double().numpy()
        labels = found.labels.cpu().numpy()
        boxes = found.bboxes
        boxes_xyxy = getattr(boxes, "tensor", boxes).cpu().double().numpy()
        finite = np.flatnonzero(np.isfinite(scores) & np.isfinite(boxes_xyxy).all(axis=1))
        self.n_not_finite += scores.size - finite.size
        height_px, width_px = (int(v) for v in sample.ori_shape[:2])
        rles = [_code(found.masks[n]) for n in finite.tolist()]
        all_found = Prediction(
            self.classes, (height_px, width_px), labels[finite], scores[finite],
            boxes_xyxy[finite], tuple(rles),
        )  # fmt: skip
        kept = self.point.kept(
            self.classes, all_found.labels, all_found.scores, all_found.rles, all_found.size_hw
        )
        return all_found.take(kept)


def _take_point(model: Any, point: OperatingPoint, *, is_given: bool) -> float | None:
    """Let the network make no masks of what the point drops, and cut those it makes where it says.

    Dropping low scores early changes nothing for others: suppression goes by falling score.

    Returns:
        The score below which the config drops detections by itself.
    """
    rcnn = model.get("test_cfg", {}).get("rcnn")
    if rcnn is None or model.get("roi_head", {}).get("type", "StandardRoIHead") != (
        "StandardRoIHead"
    ):
        return None
    floor = float(rcnn.get("score_thr", 0.0))
    rcnn.score_thr = max(floor, min([point.score, *point.score_of.values()]))
    if is_given or point != OperatingPoint(score=point.score):
        rcnn.mask_thr_binary = point.mask_threshold
    return floor


def _from_arrays(pipeline: Sequence[Any]) -> list[Any]:
    """Return a test pipeline that takes an array and no annotations."""
    kept = []
    for step in copy.deepcopy(list(pipeline)):
        if str(step["type"]).startswith(("Load", "mmdet.Load")):
            continue
        if step["type"] in ("TestTimeAug", "mmdet.TestTimeAug"):
            step["transforms"] = [
                one for one in step["transforms"] if not all("Load" in str(t["type"]) for t in one)
            ]
        kept.append(step)
    return kept


def _bgr(image: Image) -> np.ndarray:
    if isinstance(image, (str, os.PathLike)):
        return read_photo(image).image_bgr
    if isinstance(image, (list, tuple)):
        raise FashionError(
            f"image: one photo expected, got a list of {len(image)}. For several take "
            "predictor.predict(images)."
        )
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise FashionError(
            f"image: (height, width, 3) of uint8, RGB, expected, got shape {image.shape} of "
            f"{image.dtype}. Convert it first."
        )
    return np.ascontiguousarray(image[..., ::-1])


def _code(mask: Any) -> dict[str, Any]:
    """Return a mask's code: what ``EncodedMaskHead`` gives, or made of another head's bitmap."""
    if isinstance(mask, Mapping):
        return {"size": [int(v) for v in mask["size"]], "counts": mask["counts"]}
    return encode_mask(mask.cpu().numpy())
