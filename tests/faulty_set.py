"""A whole set of photos and masks, and one planted fault of each kind that ``check`` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fashion_mmdet.core import rle

H, W = 60, 80
SHOE, DRESS = 23, 10
#: Working size at which a mask of 3 x 3 px is tiny, and one of 10 x 10 is not.
SCALE = (200, 200)
Found = tuple[str, int | None, int | None]  # kind, image id, annotation id


def square(x: int = 10, y: int = 10, w: int = 20, h: int = 20) -> np.ndarray:
    mask_HW = np.zeros((H, W), bool)
    mask_HW[y : y + h, x : x + w] = True
    return mask_HW


class FaultySet:
    """Builds a COCO file and its photos; ``plant`` adds a fault and what must be found of it."""

    def __init__(self, folder: Path) -> None:
        self.photos = folder / "photos"
        self.photos.mkdir(parents=True)
        self.coco: dict[str, Any] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": SHOE, "name": "shoe"}, {"id": DRESS, "name": "dress"}],
            "attributes": [{"id": 1, "name": "worn"}],
        }
        self.expected: set[Found] = set()
        first = self.image()
        self.mask(first, square())
        self.mask(first, square(40), category_id=DRESS)

    def image(self, size_hw: tuple[int, int] = (H, W), **other: Any) -> dict[str, Any]:
        """Add an image and its photo; ``other`` keys go into the entry."""
        number = len(self.coco["images"]) + 1
        height_px, width_px = size_hw
        name = f"{number:03}.jpg"
        entry = {"id": number, "file_name": name, "height": height_px, "width": width_px}
        noise = np.random.default_rng(number).integers(0, 255, (*size_hw, 3), np.uint8)
        Image.fromarray(noise).save(self.photos / name)
        self.coco["images"].append({**entry, **other})
        return self.coco["images"][-1]

    def mask(self, image: dict[str, Any], segmentation: Any, **other: Any) -> dict[str, Any]:
        """Add an annotation; box and area are those of the mask, unless ``other`` has them."""
        if isinstance(segmentation, np.ndarray):
            segmentation = rle.encode_mask(segmentation)
        code = rle.to_rle(segmentation, image["height"], image["width"], "")
        entry = {
            "id": len(self.coco["annotations"]) + 1,
            "image_id": image["id"],
            "category_id": SHOE,
            "segmentation": segmentation,
            "bbox": rle.box_xywh(code),
            "area": rle.area_px(code),
        }
        self.coco["annotations"].append({**entry, **other})
        return self.coco["annotations"][-1]

    def fault(self, kind: str, segmentation: Any = None, **other: Any) -> dict[str, Any]:
        """Add an image with one annotation that has the fault ``kind``."""
        image = self.image()
        entry = self.mask(image, square() if segmentation is None else segmentation, **other)
        self.expected.add((kind, image["id"], entry["id"]))
        return entry

    def photo_fault(self, kind: str) -> Path:
        """Add an image with a good annotation, and return its photo's path, to be spoilt."""
        image = self.image()
        self.mask(image, square())
        self.expected.add((kind, image["id"], None))
        return self.photos / image["file_name"]

    def plant_all(self) -> None:
        """Plant one fault of each kind."""
        self._plant_categories()
        self._plant_images()
        self._plant_references()
        self._plant_masks()
        self._plant_boxes()
        self._plant_photos()

    def _plant_categories(self) -> None:
        categories = [(7, "shorts"), (7, "skirt"), (900, "shoe"), (901, "SANDALS")]
        categories.append((902, "spacesuit"))
        self.coco["categories"] += [{"id": i, "name": name} for i, name in categories]
        self.coco["categories"].append({"id": 19, "name": "belt"})
        for category_id, _ in categories:
            self.mask(self.image(), square(), category_id=category_id)
        kinds = ("id twice", "name twice", "misspelt", "unknown", "without annotations")
        self.expected |= {(f"category {kind}", None, None) for kind in kinds}

    def _plant_images(self) -> None:
        self.coco["images"].append({**self.image(), "file_name": "other.jpg"})
        twice = self.coco["images"][-1]["id"]
        self.mask(self.coco["images"][-1], square())
        self.expected.add(("image id twice", twice, None))

        first, second = self.image(), self.image(id=500)
        second["file_name"] = first["file_name"]
        self.mask(first, square())
        self.mask(second, square(40))
        self.expected.add(("file name twice", 500, None))

        away = self.image(file_name="../away.jpg")
        self.mask(away, square())
        self.expected.add(("file name leaves the folder", away["id"], None))
        self.expected.add(("image without annotations", self.image()["id"], None))

        crowded = self.image((200, 200))
        for number in range(101):
            y, x = divmod(number, 15)
            mask_HW = np.zeros((200, 200), bool)
            mask_HW[12 * y : 12 * y + 10, 12 * x : 12 * x + 10] = True
            self.mask(crowded, mask_HW)
        self.expected.add(("many instances", crowded["id"], None))

        malformed = self.image(height="60")
        self.expected.add(("malformed entry", malformed["id"], None))

    def _plant_references(self) -> None:
        last = self.coco["annotations"][-1]["id"]
        self.fault("annotation id twice", id=last)
        self.expected -= {f for f in self.expected if f[0] == "annotation id twice"}
        self.expected.add(("annotation id twice", self.coco["images"][-1]["id"], last))
        self.fault("annotation of unknown image")["image_id"] = 9999
        self.expected -= {f for f in self.expected if f[0] == "annotation of unknown image"}
        self.expected.add(("annotation of unknown image", 9999, len(self.coco["annotations"])))
        self.expected.add(("image without annotations", self.coco["images"][-1]["id"], None))
        self.fault("annotation of unknown category", category_id=777)
        self.fault("crowd", iscrowd=1)
        self.fault("iscrowd malformed", iscrowd=None)
        self.fault("ignore flag", ignore=True)
        self.fault("attribute unknown", attribute_ids=[1, 7])

    def _plant_masks(self) -> None:
        box = [5.0, 5.0, 5.0, 35.0, 45.0, 35.0, 45.0, 5.0]
        self.fault("no segmentation")["segmentation"] = []
        self.fault("segmentation malformed")["segmentation"] = {"size": [H, W], "counts": "!"}
        self.fault("mask of another size")["segmentation"]["size"] = [W, H]
        self.fault("polygon of too few points", [box])["segmentation"].append([1, 1, 5, 5])
        self.fault("polygon degenerate", [box])["segmentation"].append([1, 1, 5, 5, 9, 9])
        self.fault("polygon crosses itself", [[5, 5, 45, 35, 45, 5, 5, 40]])
        turn = np.linspace(0, 2 * np.pi, 5001, endpoint=False)
        ring = np.stack([40 + 20 * np.cos(turn), 30 + 20 * np.sin(turn)], axis=1)
        self.fault("polygon of many points", [ring.ravel().tolist()])
        self.fault("polygon out of frame", [[-8, 5, -8, 35, 45, 35, 45, 5]])
        self.fault("polygon outside", [box])["segmentation"].append([70, 5, 150, 5, 150, 35])
        self.fault("number not finite", [box])["segmentation"].append([1, 1, float("nan"), 5, 9, 9])
        self.fault("other value not finite", score=float("nan"))
        self.fault("mask empty", square(w=0), bbox=[1, 1, 9, 9], area=81)
        self.fault("mask tiny", square(w=3, h=3))
        self.fault("mask over the whole photo", square(0, 0, W, H))
        for kind, mask_HW, category_id in (
            ("mask twice", square(), SHOE),
            ("mask with two categories", square(), DRESS),
            ("masks overlap", square(w=18), SHOE),
        ):
            entry = self.fault(kind, mask_HW, category_id=category_id)
            self.coco["annotations"].pop()
            image = self.coco["images"][-1]
            self.mask(image, square())
            self.expected.remove((kind, image["id"], entry["id"]))
            later = self.mask(image, mask_HW, category_id=category_id)
            self.expected.add((kind, image["id"], later["id"]))

    def _plant_boxes(self) -> None:
        corner = [[10, 10, 10, 50, 50, 10]]  # a triangle: half of its box
        self.fault("box missing", bbox=None)
        self.fault("box malformed", bbox=[1, 2, 3])
        self.fault("box without area", bbox=[10, 10, 0.5, 20])
        self.fault("box outside", bbox=[500, 10, 20, 20])
        self.fault("box out of frame", bbox=[-9, 10, 39, 20])
        self.fault("box is not the mask's", bbox=[10, 10, 30, 30])
        self.fault("area missing", area=None)
        self.fault("area malformed", area="400")
        self.fault("area 0", area=0)
        self.fault("area is the box's", corner, area=1600)
        self.fault("area is not the mask's", area=900)
        self.fault("number not finite", bbox=[10, 10, float("inf"), 20])
        self.fault("number not finite", area=float("nan"))

    def _plant_photos(self) -> None:
        self.photo_fault("photo missing").unlink()
        path = self.photo_fault("photo under another name")
        path.rename(path.with_suffix(".JPG"))
        self.photo_fault("photo unreadable").write_bytes(b"not a photo")
        path = self.photo_fault("photo truncated")
        path.write_bytes(path.read_bytes()[:-1500])
        noise = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
        Image.fromarray(noise[::2, ::2]).save(self.photo_fault("photo of another size"))
        for kind, orientation in (("photo turned by EXIF", 6), ("photo with EXIF orientation", 3)):
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.fromarray(noise).save(self.photo_fault(kind), exif=exif)
        Image.fromarray(noise).convert("L").save(self.photo_fault("photo grey"))
        Image.fromarray(noise).convert("CMYK").save(self.photo_fault("photo CMYK"))
        path = self.photo_fault("photo with alpha")
        Image.fromarray(noise).convert("RGBA").save(path, format="PNG")
        path = self.photo_fault("photo of 16 bit")
        cv2.imwrite(str(path.with_suffix(".png")), noise.astype(np.uint16) * 256)
        path.with_suffix(".png").replace(path)
