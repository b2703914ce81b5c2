"""The dataset of a config, built on a file so that it notes what becomes of each annotation."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mmdet.registry import DATASETS

#: verdict -> kind of finding in the catalogue of ``fashion data check``; None: nothing to say
VERDICTS: dict[str, str | None] = {
    "kept": None,
    "ignored": "loader ignores",
    "dropped": "loader drops",
    "relabelled": "loader relabels",
}


@dataclass
class Fate:
    """What became of one annotation; ``why`` is empty where there is nothing to say.

    Attributes:
        annotation_id: its id in the file.
        image_id: its image's.
        file_name: its photo.
        category: its category's name in the file.
        verdict: one of :data:`VERDICTS`.
        why: the reason, and who decided: the dataset, ``filter_cfg`` or a transform.
        stage: how far it was followed: ``dataset``, or ``pipeline`` where its image was run.
    """

    annotation_id: int
    image_id: int
    file_name: str
    category: str
    verdict: str = "dropped"
    why: str = ""
    stage: str = "dataset"


def traced_dataset(given: dict[str, Any], ann_file: str, images_dir: str) -> Any:
    """Build a dataset on our file, as a subclass that notes what becomes of annotations.

    Args:
        given: the config's dataset, of COCO's kind.
        ann_file: the file, in the place of the config's.
        images_dir: the folder of its photos.

    Returns:
        The dataset; ``fates`` has a :class:`Fate` for each annotation id, and ``n_filtered`` the
        number of images that ``filter_cfg`` left out.
    """
    base = DATASETS.get(given["type"])
    keys = {key: value for key, value in given.items() if key != "type"}
    keys.update(
        data_root="",
        ann_file=os.path.abspath(ann_file),
        data_prefix={"img": os.path.join(os.path.abspath(images_dir), "")},
        serialize_data=False,
        test_mode=False,
    )
    if hasattr(base, "_image_record"):
        keys["check_photos"] = False  # the check has found those that are missing
        return type(base.__name__, (_TracedFashion, base), {})(**keys)
    return type(base.__name__, (_TracedCoco, base), {})(**keys)


class _Traced:
    """Notes, beside the dataset's own work, what becomes of each annotation."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.fates: dict[int, Fate] = {}
        self.names: dict[int, str] = {}
        super().__init__(*args, **kwargs)

    def meet(self, annotation: dict[str, Any], image: dict[str, Any], why: str) -> None:
        """Enter an annotation as dropped for the reason ``why``, until it is known better."""
        category = self.names.get(annotation["category_id"], str(annotation["category_id"]))
        self.fates[annotation["id"]] = Fate(
            annotation["id"], annotation["image_id"], image["file_name"], category, why=why
        )

    def settle(self, annotation_id: int, instance: dict[str, Any] | None, why: str) -> None:
        """Enter what the dataset made of an annotation, and mark the instance with its id."""
        fate = self.fates[annotation_id]
        fate.why = why
        if instance is not None:
            instance["annotation_id"] = annotation_id
            fate.verdict = "ignored" if instance["ignore_flag"] else "kept"

    def filter_data(self) -> list[dict[str, Any]]:
        """Filter as the dataset does; instances of images that go are dropped by filter_cfg."""
        kept = super().filter_data()  # type: ignore[misc]
        staying = {record["img_id"] for record in kept}
        self.n_filtered = len(self.data_list) - len(kept)  # type: ignore[attr-defined]
        for fate in self.fates.values():
            if fate.image_id not in staying and fate.verdict != "dropped":
                rule = self.filter_cfg  # type: ignore[attr-defined]
                fate.why = f"filter_cfg leaves its image out ({dict(rule or {})})"
                fate.verdict = "dropped"
        return kept


class _TracedFashion(_Traced):
    """On ``FashionDataset``, which says why in its own report."""

    report: Counter[str]

    def _map_categories(self, coco: dict[str, Any]) -> Any:
        self.names = {entry["id"]: entry["name"] for entry in coco["categories"]}
        return super()._map_categories(coco)  # type: ignore[misc]

    def _image_record(self, image: Any, annotations: Any, label_of: Any) -> Any:
        for annotation in annotations:
            self.meet(annotation, image, "left out: category not in metainfo.classes")
        return super()._image_record(image, annotations, label_of)  # type: ignore[misc]

    def _instance(self, annotation: dict[str, Any], height_px: int, width_px: int) -> Any:
        before = Counter(self.report)
        instance = super()._instance(annotation, height_px, width_px)  # type: ignore[misc]
        said = sorted(reason for reason in self.report - before)
        why = "; ".join(reason for reason in said if reason not in VERDICTS)
        self.settle(annotation["id"], instance, why)
        return instance


class _TracedCoco(_Traced):
    """On mmdet's ``CocoDataset`` and its kin, which drop without a word."""

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> Any:
        image = raw_data_info["raw_img_info"]
        self.names = {i: entry["name"] for i, entry in self.coco.cats.items()}  # type: ignore[attr-defined]
        record = super().parse_data_info({**raw_data_info, "raw_ann_info": []})  # type: ignore[misc]
        for annotation in raw_data_info["raw_ann_info"]:
            self.meet(annotation, image, "")
            alone = {**raw_data_info, "raw_ann_info": [annotation]}
            found = super().parse_data_info(alone)["instances"]  # type: ignore[misc]
            why = "" if found else self._reason(annotation)
            self.settle(annotation["id"], found[0] if found else None, why)
            record["instances"] += found
        return record

    def _reason(self, annotation: dict[str, Any]) -> str:
        """Name the rule of ``CocoDataset.parse_data_info`` that an annotation broke."""
        if annotation.get("ignore"):
            return "marked 'ignore'"
        if annotation["category_id"] not in self.cat_ids:  # type: ignore[attr-defined]
            return "category not in metainfo.classes"
        return "box under 1 px, outside the image, or area 0"
