"""COCO's matching, kept image by image: equal to pycocotools, whatever images are counted."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_mmdet.core.curves import average_precisions, average_recalls, mean_ap
from fashion_mmdet.core.matching import AREAS, match
from fashion_mmdet.core.rle import encode_mask

N_LABELS = 4
SIDE_PX = 128


def made(seed, n_images=12, digits=6):
    """Instances of all sizes, some crowds; detections near them, elsewhere, and mislabelled."""
    rng = np.random.default_rng(seed)
    truth, found = [], []

    def entry(box, image_id):
        x, y, w, h = (int(v) for v in box)
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        mask[y : y + h, x : x + w] = True
        return {"image_id": image_id, "bbox": [x, y, w, h], "area": int(mask.sum()),
                "segmentation": encode_mask(mask)}  # fmt: skip

    for image_id in range(3, 3 + 2 * n_images, 2):
        for _ in range(rng.integers(0, 8)):
            box = np.concatenate([rng.integers(0, 60, 2), rng.integers(3, 66, 2)])
            label = int(rng.integers(N_LABELS))
            truth.append({**entry(box, image_id), "id": len(truth) + 1, "category_id": label,
                          "iscrowd": int(rng.random() < 0.15)})  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                near = np.maximum(box + rng.integers(-3, 4, 4), [0, 0, 1, 1])
                shown = label if rng.random() < 0.8 else int(rng.integers(N_LABELS))
                found.append({**entry(near, image_id), "label": shown,
                              "score": round(float(rng.random()), digits)})  # fmt: skip
    return list(range(3, 3 + 2 * n_images, 2)), truth, found


def reference(image_ids, truth, found, iou_type):
    """Return pycocotools' precision (T, R, K, A) and recall (T, K, A, M)."""
    images = [{"id": i, "height": SIDE_PX, "width": SIDE_PX} for i in image_ids]
    categories = [{"id": label, "name": str(label)} for label in range(N_LABELS)]
    numbered = [
        {**d, "id": n, "category_id": d["label"], "iscrowd": 0} for n, d in enumerate(found, 1)
    ]
    sides = []
    with contextlib.redirect_stdout(io.StringIO()):
        for entries in ([dict(g) for g in truth], numbered):
            side = COCO()
            side.dataset = {"images": images, "categories": categories, "annotations": entries}
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType=iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., -1], evaluation.eval["recall"]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize(("seed", "digits"), [(0, 6), (1, 6), (2, 1)])  # 1: many equal scores
def test_match_random_data_gives_the_figures_of_pycocotools(seed, digits, iou_type):
    image_ids, truth, found = made(seed, digits=digits)
    precision_TRKA, recall_TKAM = reference(image_ids, truth, found, iou_type)
    matches = match(image_ids, truth, found, iou_type)
    n_measured = 0
    for number, area in enumerate(AREAS):
        ap_KT = average_precisions(matches, N_LABELS, area)[0]
        for most, column in ((1, 0), (10, 1), (100, 2)):
            recall_KT = average_recalls(matches, N_LABELS, area, most)
            expected = recall_TKAM[:, :, number, column].T
            np.testing.assert_allclose(
                np.nan_to_num(recall_KT, nan=-1.0), expected, rtol=0, atol=1e-12
            )
        expected = precision_TRKA[..., number].mean(axis=1).T
        np.testing.assert_allclose(np.nan_to_num(ap_KT, nan=-1.0), expected, rtol=0, atol=1e-12)
        n_measured += (expected > 0).sum()
    assert n_measured > 60


@pytest.mark.parametrize("seed", range(3))
def test_average_precisions_weighted_are_those_of_a_set_with_each_image_so_often(seed):
    image_ids, truth, found = made(seed)
    matches = match(image_ids, truth, found, "bbox")
    rng = np.random.default_rng(seed)
    weights_BI = rng.multinomial(len(image_ids), np.full(12, 1 / 12), size=2).astype(float)
    ap_BKT = average_precisions(matches, N_LABELS, "all", weights_BI)
    for weights, ap_KT in zip(weights_BI, ap_BKT, strict=True):
        copies = [i for i, n in zip(image_ids, weights, strict=True) for _ in range(int(n))]
        truths = [{**g, "image_id": n} for n, i in enumerate(copies) for g in truth
                  if g["image_id"] == i]  # fmt: skip
        founds = [{**d, "image_id": n} for n, i in enumerate(copies) for d in found
                  if d["image_id"] == i]  # fmt: skip
        truths = [{**g, "id": n} for n, g in enumerate(truths, 1)]
        expected, _ = reference(range(len(copies)), truths, founds, "bbox")
        expected = expected[..., 0].mean(axis=1).T
        np.testing.assert_allclose(np.nan_to_num(ap_KT, nan=-1.0), expected, rtol=0, atol=1e-12)
    assert weights_BI.max() > 1 and mean_ap(ap_BKT).min() > 0.02


def test_mean_ap_leaves_out_labels_that_a_sample_lacks():
    ap_BKT = np.full((2, 3, 10), np.nan)
    ap_BKT[0, 0], ap_BKT[0, 2] = 0.2, 0.6
    assert mean_ap(ap_BKT)[0] == pytest.approx(0.4)
    assert np.isnan(mean_ap(ap_BKT)[1])


def test_match_more_than_a_hundred_of_a_label_keeps_the_best():
    image_ids, truth, _ = [1], [], []
    mask = encode_mask(np.ones((8, 8), bool))
    found = [
        {"image_id": 1, "label": 0, "score": n / 200, "area": 64, "bbox": [0, 0, 8, 8],
         "segmentation": mask} for n in range(150)
    ]  # fmt: skip
    matches = match(image_ids, truth, found, "segm")
    assert matches.det_score.tolist() == [n / 200 for n in range(149, 49, -1)]
    assert matches.det_rank.tolist() == list(range(100))
    assert not matches.hit_DA.any()


def test_match_without_anything_is_empty_and_measures_nothing():
    matches = match([1, 2], [], [], "bbox")
    assert np.isnan(average_precisions(matches, 3)).all()
    assert np.isnan(average_recalls(matches, 3)).all()
    assert matches.arrays()["gt_void_GA"].shape == (0, len(AREAS))
