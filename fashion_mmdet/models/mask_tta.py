"""``MaskTTAModel``: test-time augmentation and ensembles of models with masks.

mmdet's own ``DetTTAModel`` merges finished detections and has no masks (mmdetection #10705). Here
views and models vote inside the network, as in mmdet 2 and for masks in Detectron2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData
from torch import nn

from fashion_mmdet.core.errors import CheckpointError, ConfigError

from .tta_config import member_files
from .views import View

Member = str | Mapping[str, Any] | nn.Module
_PARTS = {
    TwoStageDetector: ("predict",),
    StandardRoIHead: ("predict", "predict_bbox", "predict_mask"),
}


@MODELS.register_module()
class MaskTTAModel(BaseTTAModel):
    """A detector that looks at several views of a photo, alone or together with others.

    A view is one augmentation seen by one model. Each finds proposals; those of all views are
    brought into the photo's pixels and merged by NMS. Then every view's box head judges the same
    proposals: class scores and boxes are averaged, and the model's own threshold, NMS and limit
    give the detections. At last every view's mask head predicts on the same final boxes, and the
    mean of their probabilities is made a mask once. One view of one model, not flipped, gives what
    the model gives by itself.

    ``tta_model = dict(type="MaskTTAModel")`` with a ``tta_pipeline`` that ends in ``TestTimeAug``
    is all that ``mim test --tta`` and ``fashion test --tta`` need. The features of all views of
    one photo are held at a time, whatever the batch size.

    Args:
        module: the model, or its config: two-stage with one box head and at most one mask head.
        members: further trained models that vote with the same weight, each a run folder, a
            checkpoint in one, ``dict(config=..., checkpoint=...)``, or a model that is built and
            filled. Each has a ``data_preprocessor`` of its own; sizes of photos are those of the
            main config's pipeline for all, as are thresholds, NMS and limits. Backbones and the
            kind of masks and boxes (one for all classes, or one each) may differ.
        data_preprocessor: see mmengine.

    Raises:
        ConfigError: for a model of another kind, or members of other classes or heads.
        CheckpointError: for a member whose weights do not fill all of it.
    """

    def __init__(
        self,
        module: Mapping[str, Any] | nn.Module,
        members: Member | Sequence[Member] = (),
        data_preprocessor: Any = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            extra = {} if data_preprocessor is None else {"data_preprocessor": data_preprocessor}
            module = MODELS.build({**module, **extra})
        super().__init__(module)
        _require_two_stages(module, "model")
        #: (file, checkpoint without its weights) of each member that was loaded here; the classes
        #: that it was trained on are compared where those of the run are known.
        self.member_checkpoints: list[tuple[str, dict[str, Any]]] = []
        #: What evidence and operating points call the members: folder and file of the checkpoint.
        self.member_names: list[str] = []
        alone = isinstance(members, (str, Mapping, nn.Module))
        self.members = nn.ModuleList(
            self._member(given, i) for i, given in enumerate([members] if alone else members)
        )

    def _member(self, given: Member, number: int) -> nn.Module:
        model, where = given, f"tta_model.members[{number}]"
        name = type(given).__name__
        if not isinstance(given, nn.Module):
            config, path = member_files(given, where)
            model_cfg = Config.fromfile(config).model
            # mmengine writes what was tested over the config of the run, `module` and all.
            model = MODELS.build(model_cfg.get("module", model_cfg))
            checkpoint = CheckpointLoader.load_checkpoint(path, map_location="cpu")
            _fill(model, checkpoint.pop("state_dict", checkpoint), path)
            self.member_checkpoints.append((path, {"meta": checkpoint.get("meta")}))
            where, name = f"{where} ({path})", "/".join(Path(path).resolve().parts[-2:])
        _require_two_stages(model, where)
        ours, theirs = self.module.roi_head, model.roi_head
        for what, one, other in (
            ("classes", ours.bbox_head.num_classes, theirs.bbox_head.num_classes),
            ("mask heads", int(ours.with_mask), int(theirs.with_mask)),
        ):
            if one != other:
                raise ConfigError(
                    f"{where}: a model of {one} {what}, as the first has, expected, got one of "
                    f"{other}. Leave it out."
                )
        self.member_names.append(name)
        return model

    def test_step(self, data: Mapping[str, Any]) -> list[DetDataSample]:
        """Return the detections of each photo, with the metainfo of its first upright view.

        Args:
            data: ``inputs`` and ``data_samples`` as ``TestTimeAug`` and ``pseudo_collate`` give
                them: lists of views, each a list of the batch's photos.
        """
        photos = zip(
            zip(*data["inputs"], strict=True), zip(*data["data_samples"], strict=True), strict=True
        )
        return [self._predict(images, samples) for images, samples in photos]

    def merge_preds(self, data_samples_list: Any) -> Any:
        """Not used: views are merged before there are predictions."""
        raise NotImplementedError

    def _predict(
        self, images: Sequence[torch.Tensor], samples: Sequence[DetDataSample]
    ) -> DetDataSample:
        if len(samples) > 1 and not all("flip" in sample.metainfo for sample in samples):
            raise ConfigError(
                "tta_pipeline: 'flip' and 'flip_direction' among meta_keys of PackDetInputs "
                f"expected, got {', '.join(samples[0].metainfo)}. Add them: a flipped view cannot "
                "be told from others."
            )
        views = [
            View(model, image, sample)
            for model in (self.module, *self.members)
            for image, sample in zip(images, samples, strict=True)
        ]
        upright = (n for n, sample in enumerate(samples) if not sample.metainfo.get("flip"))
        n = next(upright, 0)
        out = samples[n].new(metainfo=views[n].meta)
        out.pred_instances = self._detections(views, out.metainfo)
        return out

    def _detections(self, views: Sequence[View], meta: Mapping[str, Any]) -> InstanceData:
        roi_head = self.module.roi_head
        cfg = roi_head.test_cfg
        proposals = self._proposals(views)
        judged = [view.boxes(proposals) for view in views]
        # A regressor for all classes beside one for each: (N, 1, 4) + (N, classes, 4).
        boxes = sum(boxes for boxes, _ in judged) / len(views)
        scores = sum(scores for _, scores in judged) / len(views)
        kept, labels = multiclass_nms(
            boxes.flatten(1), scores, cfg.score_thr, cfg.nms, cfg.max_per_img
        )
        found = InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)
        if not roi_head.with_mask:
            return found
        grids = self._grids(views, found)
        # The boxes are the photo's already.
        of_photo = {**meta, "scale_factor": (1.0, 1.0)}
        (found,) = roi_head.mask_head.predict_by_feat(
            (grids,), [found], [of_photo], cfg, rescale=True, activate_map=True
        )
        return found

    def _proposals(self, views: Sequence[View]) -> torch.Tensor:
        """Return (N, 4) boxes of the photo: those of all views, without what is there twice."""
        found = [view.proposals() for view in views]
        if len(views) == 1:  # the model has merged its own, level by level
            return found[0][0]
        boxes, scores = torch.cat([b for b, _ in found]), torch.cat([s for _, s in found])
        if not len(boxes):
            return boxes
        cfg = self.module.rpn_head.test_cfg
        merged, _ = batched_nms(
            boxes, scores, torch.zeros_like(scores), cfg.nms, class_agnostic=True
        )
        return merged[: cfg.max_per_img, :4]

    def _grids(self, views: Sequence[View], found: InstanceData) -> torch.Tensor:
        """Return (N, 1 or classes, M, M) probabilities, the mean over the views.

        Where the mask head has a mask for each class, that of the label stands for all.
        """
        head = self.module.roi_head.mask_head
        of_views = [view.grids(found.bboxes, found.labels) for view in views]
        size = of_views[0].shape[-2:]
        mean = sum(_resized(grids, size) for grids in of_views) / len(views)
        return mean[:, None].expand(-1, 1 if head.class_agnostic else head.num_classes, -1, -1)


def _resized(grids: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return (N, H, W) grids of ``size``; members may have others than the first model."""
    if grids.shape[-2:] == size:
        return grids
    return nn.functional.interpolate(grids[:, None], size, mode="bilinear")[:, 0]


def _require_two_stages(model: nn.Module, where: str) -> None:
    roi_head = getattr(model, "roi_head", None)
    fits = getattr(model, "rpn_head", None) is not None and all(
        isinstance(part, kind)
        and all(getattr(type(part), name) is getattr(kind, name) for name in names)
        for part, (kind, names) in zip((model, roi_head), _PARTS.items(), strict=True)
    )
    if not fits:
        head = f" with {type(roi_head).__name__}" if roi_head is not None else ""
        raise ConfigError(
            f"{where}: for test-time augmentation and ensembles a two-stage detector with one box "
            "head and at most one mask head (MaskRCNN, FasterRCNN; StandardRoIHead) expected, got "
            f"{type(model).__name__}{head}. Test it without them."
        )


def _fill(model: nn.Module, weights: Mapping[str, Any], path: str) -> None:
    """Load ``weights`` into ``model``; all of it has to be filled."""
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    gaps = [
        name
        for name, tensor in model.state_dict().items()
        if getattr(weights.get(name), "shape", None) != tensor.shape
        and not name.endswith("num_batches_tracked")
    ]
    if gaps:
        raise CheckpointError(
            f"{path}: weights for the whole model expected, got some that leave "
            f"{len(gaps)} of its tensors random ({', '.join(gaps[:3])}). Is the config beside it "
            "the one that it was trained with?"
        )
    model.load_state_dict(weights, strict=False)
