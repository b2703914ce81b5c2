"""``FashionDataset``: COCO JSON in, labels by name, nothing dropped in silence."""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from fashion_mmdet.core.coco import CategoryMap, map_categories, read_coco
from fashion_mmdet.core.errors import AnnotationError, OntologyError, nearest
from fashion_mmdet.core.files import inside, looked_up_from
from fashion_mmdet.core.ontology import CLASSES, PALETTE
from fashion_mmdet.core.rle import area_px, box_xywh, to_rle, usable

from .cached import Cache, other_place

_NAMED = 5  # how many of a kind the log names before it only counts
# What the file left out and the mask or box told; nothing is lost by it.
_BOX_DERIVED = "box derived from its mask"
_AREA_DERIVED = "area derived from its mask"
_AREA_OF_BOX = "area of the box taken: no valid mask"
_DERIVED = (_BOX_DERIVED, _AREA_DERIVED, _AREA_OF_BOX)


@DATASETS.register_module()
class FashionDataset(CocoDataset):
    """COCO-style instance segmentation over the 49 fashion categories.

    What differs from mmdet's ``CocoDataset``:

    * Labels come from category **names**. A label is the position of the annotation's category
      name in ``metainfo['classes']``; the order and the ids of the file's categories mean
      nothing. A category that the ontology does not know and that has annotations is an error
      that names it; one without annotations is a warning.
    * Masks may be polygons or run-length codes, compressed, uncompressed or as bytes. All of
      them train: where the pipeline says ``poly2mask=False`` (which makes mmdet ignore every
      run-length code) and the file holds run-length codes, masks are loaded as bitmaps.
    * A missing ``bbox`` or ``area`` is derived from the mask.
    * What is ignored or dropped is counted in :attr:`report` and logged; missing photos stop
      the run before it starts.

    Args:
        metainfo: may hold ``classes``, a tuple of category names, to train on some of the 49
            or on other names altogether. Annotations of ontology categories that are not in
            ``classes`` are then left out, and counted.
        check_photos: raise at the start if photos are missing (local files only).
        **kwargs: as for ``CocoDataset`` (``ann_file``, ``data_root``, ``data_prefix``,
            ``filter_cfg``, ``pipeline``, ...).

    Raises:
        AnnotationError: on a file that is no COCO file, or missing photos.
        OntologyError: on categories that have no place here.
    """

    METAINFO = {"classes": CLASSES, "palette": [tuple(c) for c in PALETTE]}

    def __init__(self, *args: Any, check_photos: bool = True, **kwargs: Any) -> None:
        self.check_photos = check_photos
        #: What happened to the file's annotations: reason -> count.
        self.report: Counter[str] = Counter()
        #: The cache that is read; None where it is the originals.
        self.cache: Cache | None = None
        #: File names of the photos that are used, in the folder :attr:`photos_dir`; of a cache,
        #: those of the originals.
        self.photos: list[str] = []
        super().__init__(*args, **kwargs)

    @classmethod
    def _load_metainfo(cls, metainfo: Any = None) -> dict[str, Any]:
        info = super()._load_metainfo(metainfo)
        classes = tuple(info["classes"])
        if len(set(classes)) != len(classes):
            twice = sorted(name for name, n in Counter(classes).items() if n > 1)
            raise OntologyError(
                f"metainfo.classes: distinct names expected, got {twice} more than once."
            )
        colours = dict(zip(CLASSES, PALETTE, strict=True))
        info["classes"] = classes
        info["palette"] = [
            tuple(colours.get(name, PALETTE[i % len(PALETTE)])) for i, name in enumerate(classes)
        ]
        return info

    @property
    def photos_dir(self) -> str | None:
        """The folder that :attr:`photos` are named from; None for originals that are not here."""
        return self.cache.photos if self.cache else self.data_prefix.get("img", "") or ""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read ``ann_file`` and return mmdet's list of image records (``instances`` inside)."""
        self.report = Counter()
        if not os.path.exists(self.ann_file):
            remedy = other_place(self.ann_file, self.data_root) or (
                "Convert the data first (README, 'Data'); where it lies under another folder than "
                "data/, set FASHION_DATA to that folder."
            )
            raise AnnotationError(
                f"{self.ann_file}: an annotation file expected, found no file. {remedy}"
                f"{looked_up_from(self.ann_file)}"
            )
        coco = read_coco(self.ann_file)
        self._look_at_cache(coco)
        categories = self._map_categories(coco)
        annotations_of: dict[int, list[dict[str, Any]]] = {}
        for annotation in coco["annotations"]:
            annotations_of.setdefault(annotation["image_id"], []).append(annotation)

        self._has_rle = False
        self._bad_masks: list[str] = []
        records = [
            self._image_record(image, annotations_of.get(image["id"], []), categories)
            for image in coco["images"]
        ]
        if self.check_photos:
            self._require_photos(records)
        self._settle_mask_format()
        return records

    def _look_at_cache(self, coco: dict[str, Any]) -> None:
        """Refuse a cache (``fashion data cache``) to score against, and one that is stale."""
        self.cache = Cache.of(self.ann_file, coco.get("info"))
        if self.cache is None:
            return
        if self.test_mode:
            raise AnnotationError(
                f"{self.ann_file}: masks of the photos' own size to score against expected, got a "
                f"cache, whose masks are resized. Name {self.cache.annotations}, and the folder of "
                "its photos."
            )
        if not self.cache.refuse_stale():
            source = self.cache.annotations
            self._log(f"a cache of {source}, which is not here to compare with.", "warn")
        for warning in self.cache.warnings(coco["images"], self.pipeline.transforms):
            self._log(warning, "warn")

    def _map_categories(self, coco: dict[str, Any]) -> dict[int, int | None]:
        """Return category id -> label, with None for those left out on purpose."""
        classes = self.metainfo["classes"]
        found: CategoryMap = map_categories(coco["categories"], classes, where=self.ann_file)
        used = Counter(a["category_id"] for a in coco["annotations"])
        label_of: dict[int, int | None] = dict(found.label_of_id)
        foreign, left_out = [], []
        for category_id, name in found.unknown.items():
            if name in CLASSES and set(classes) <= set(CLASSES):
                label_of[category_id] = None
                left_out.append(f"{name!r} ({used[category_id]})")
            elif used[category_id]:
                near = " or ".join(map(repr, nearest(name, classes)))
                hint = f"; did you mean {near}?" if near else ""
                foreign.append(f"{name!r} ({used[category_id]} annotations{hint})")
            else:
                self._log(f"category {name!r} is not one of ours; it has no annotations.", "warn")
        if foreign:
            raise OntologyError(
                f"{self.ann_file}: categories of this dataset's {len(classes)} names expected, "
                f"got {', '.join(foreign)}. Rename or remove them in the file, or name them in "
                "metainfo.classes."
            )
        lost = sorted(set(used) - {c["id"] for c in coco["categories"]})
        if lost:
            raise AnnotationError(
                f"{self.ann_file}: category ids of its own categories expected, got {lost[:5]} "
                "in annotations. The file's categories list is incomplete."
            )
        if left_out:
            self._log(f"not in metainfo.classes, left out: {', '.join(left_out)}.")
        # mmdet reads these two names.
        self.cat2label = {i: lab for i, lab in label_of.items() if lab is not None}
        self.cat_ids = sorted(self.cat2label, key=self.cat2label.__getitem__)
        return label_of

    def _image_record(
        self,
        image: dict[str, Any],
        annotations: list[dict[str, Any]],
        label_of: dict[int, int | None],
    ) -> dict[str, Any]:
        root = self.data_prefix.get("img", "") or ""
        inside(root or ".", image["file_name"], where=f"{self.ann_file}: image {image['id']}")
        instances = []
        for annotation in annotations:
            label = label_of[annotation["category_id"]]
            if label is None:
                self.report["left out: category not in metainfo.classes"] += 1
                continue
            instance = self._instance(annotation, image["height"], image["width"])
            if instance is not None:
                instances.append({**instance, "bbox_label": label})
        return {
            "img_path": osp.join(root, image["file_name"]),
            "img_id": image["id"],
            "photo": str(image.get("cached_from")) if self.cache else image["file_name"],
            "seg_map_path": None,
            "height": image["height"],
            "width": image["width"],
            "instances": instances,
        }

    def _instance(
        self, annotation: dict[str, Any], height_px: int, width_px: int
    ) -> dict[str, Any] | None:
        """Turn one annotation into mmdet's ``bbox`` (xyxy), ``mask`` and ``ignore_flag``."""
        if annotation.get("ignore", False):
            self.report["dropped: marked 'ignore'"] += 1
            return None
        ignore_flag = 0
        if annotation.get("iscrowd", 0):
            self.report["ignored: crowd"] += 1
            ignore_flag = 1
        mask = self._mask(annotation, height_px, width_px)
        has_mask = mask is not None
        if not has_mask:
            self.report["ignored: no valid mask"] += 1
            ignore_flag = 1
            mask = {"size": [height_px, width_px], "counts": [height_px * width_px]}
            self._has_rle = True

        box = annotation.get("bbox")
        if box is None:
            if not has_mask:
                self.report["dropped: neither box nor valid mask"] += 1
                return None
            box = box_xywh(to_rle(mask, height_px, width_px, where=self.ann_file))
            self.report[_BOX_DERIVED] += 1
        area = annotation.get("area")
        if area is None and not has_mask:
            area = box[2] * box[3]
            self.report[_AREA_OF_BOX] += 1
        elif area is None:
            area = area_px(to_rle(mask, height_px, width_px, where=self.ann_file))
            self.report[_AREA_DERIVED] += 1

        x, y, w, h = box
        if w < 1 or h < 1 or area <= 0:
            self.report["dropped: box under 1 px or area 0"] += 1
            return None
        if min(x + w, width_px) <= max(x, 0) or min(y + h, height_px) <= max(y, 0):
            self.report["dropped: box outside the image"] += 1
            return None
        self.report["ignored" if ignore_flag else "kept"] += 1
        return {"bbox": [x, y, x + w, y + h], "mask": mask, "ignore_flag": ignore_flag}

    def _mask(self, annotation: dict[str, Any], height_px: int, width_px: int) -> Any:
        """Return polygons or a checked run-length code; None where there is no valid mask."""
        where = f"{self.ann_file}: annotation {annotation['id']}"
        mask, faults = usable(annotation.get("segmentation"), height_px, width_px, where)
        self._bad_masks += faults
        if isinstance(mask, list) and faults:
            self.report["polygon left out of a mask"] += len(faults)
        self._has_rle |= isinstance(mask, dict)
        return mask

    def _require_photos(self, records: list[dict[str, Any]]) -> None:
        if "://" in (self.data_prefix.get("img") or ""):
            return  # remote storage: asking for every photo would take longer than the epoch
        missing = [r["img_path"] for r in records if not os.path.isfile(r["img_path"])]
        if missing:
            raise AnnotationError(
                f"{self.ann_file}: {len(records)} photos expected, {len(missing)} are missing, "
                f"the first is {missing[0]}. Check data_root and data_prefix, or FASHION_DATA."
                f"{looked_up_from(missing[0])}"
            )

    def _settle_mask_format(self) -> None:
        if not self._has_rle:
            return
        for transform in self.pipeline.transforms:
            if (
                isinstance(transform, LoadAnnotations)
                and transform.with_mask
                and not transform.poly2mask
            ):
                transform.poly2mask = True
                self._log(
                    "run-length masks here and poly2mask=False in the pipeline, with which mmdet "
                    "would ignore them: masks are loaded as bitmaps instead.",
                    "warn",
                )

    def filter_data(self) -> list[dict[str, Any]]:
        """Apply ``filter_cfg`` (``filter_empty_gt``, ``min_size`` in px), count, and report."""
        kept = []
        rules = {} if self.test_mode else (self.filter_cfg or {})
        for record in self.data_list:
            if rules.get("filter_empty_gt") and not any(
                not i["ignore_flag"] for i in record["instances"]
            ):
                self.report["image left out: nothing to learn from in it"] += 1
            elif min(record["width"], record["height"]) < rules.get("min_size", 0):
                self.report[f"image left out: a side under {rules['min_size']} px"] += 1
            else:
                kept.append(record)
        self._report(len(kept))
        self.photos = [record["photo"] for record in kept]
        if not kept:
            reasons = [f"{n} x {why}" for why, n in sorted(self.report.items()) if why != "kept"]
            raise AnnotationError(
                f"{self.ann_file}: at least one image to use expected, got none of "
                f"{len(self.data_list)} ({'; '.join(reasons) or 'the file is empty'}). "
                "Mend the file, or relax filter_cfg."
            )
        return kept

    def _report(self, n_images: int) -> None:
        present = {i["bbox_label"] for r in self.data_list for i in r["instances"]}
        self._log(
            f"{n_images} images, {self.report['kept']} instances of {len(present)} of "
            f"{len(self.metainfo['classes'])} categories."
        )
        derived = [f"{self.report[why]} x {why}" for why in _DERIVED if self.report[why]]
        if derived:
            self._log(f"{'; '.join(derived)}.")
        for reason, count in sorted(self.report.items()):
            if reason != "kept" and reason not in _DERIVED:
                self._log(f"{count} x {reason}.", "warn")
        for message in self._bad_masks[:_NAMED]:
            self._log(message, "warn")
        if len(self._bad_masks) > _NAMED:
            self._log(f"... and {len(self._bad_masks) - _NAMED} more masks like these.", "warn")

    def _log(self, message: str, level: str = "info") -> None:
        logger = MMLogger.get_current_instance()
        (logger.warning if level == "warn" else logger.info)(f"{self.ann_file}: {message}")
