"""``FashionMetric`` against mmdet's ``CocoMetric`` and against a file in another order."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest

from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.rle import encode_mask

pytestmark = pytest.mark.mm

SIZE = 160
CLASSES = ("dress", "shoe", "hat", "coat")
STRAIGHT = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
# Ids out of order, a list out of order. No file here has an instance of the last class, coat.
PERMUTED = [{"id": 12, "name": "hat"}, {"id": 3, "name": "coat"}, {"id": 7, "name": "dress"},
            {"id": 5, "name": "shoe"}]


def rectangle(box_xywh):
    x, y, w, h = (int(v) for v in box_xywh)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


def made_data(tmp_path, categories, seed=0, n_images=8):
    """Return an annotation file with crowds and the predictions of a middling model."""
    import torch

    rng = np.random.default_rng(seed)
    id_of = {c["name"]: c["id"] for c in categories}
    annotations, samples = [], []
    for image_id in range(1, n_images + 1):
        boxes, labels = [], []
        for _ in range(rng.integers(1, 6)):
            w, h = rng.integers(8, 130, size=2)
            x, y = rng.integers(0, SIZE - w), rng.integers(0, SIZE - h)
            label = int(rng.integers(3))
            box = [int(v) for v in (x, y, w, h)]
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "bbox": box,
                "category_id": id_of[CLASSES[label]], "area": int(w * h),
                "iscrowd": int(rng.random() < 0.15), "segmentation": encode_mask(rectangle(box)),
            })
            for _ in range(rng.integers(0, 3)):
                x2 = np.clip(x + rng.integers(-8, 9), 0, SIZE - w)
                y2 = np.clip(y + rng.integers(-8, 9), 0, SIZE - h)
                boxes.append([x2, y2, w, h])
                labels.append(label if rng.random() < 0.85 else int(rng.integers(4)))
        boxes.append([0, 0, 20, 20])
        labels.append(int(rng.integers(4)))
        boxes = np.array(boxes)
        edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        edges = edges + rng.normal(0, 0.3, edges.shape)
        samples.append({
            "img_id": image_id, "ori_shape": (SIZE, SIZE),
            "pred_instances": {
                "bboxes": torch.tensor(edges, dtype=torch.float32),
                "labels": torch.tensor(labels),
                "scores": torch.tensor(rng.random(len(labels)), dtype=torch.float32),
                "masks": torch.from_numpy(np.stack([rectangle(b) for b in boxes])),
            },
        })
    images = [{"id": i, "file_name": f"{i}.jpg", "height": SIZE, "width": SIZE}
              for i in range(1, n_images + 1)]
    path = tmp_path / f"{categories[0]['name']}.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return str(path), samples


def evaluate(metric, samples, classes=CLASSES):
    metric.dataset_meta = {"classes": classes}
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def fashion_metric(path, **kwargs):
    from fashion_mmdet.evaluation import FashionMetric

    return FashionMetric(path, **kwargs)


def coco_metric(path):
    from mmdet.evaluation import CocoMetric

    return CocoMetric(path, metric=["bbox", "segm"])


@pytest.fixture
def log(caplog):
    """Captured log text of mmengine's current logger."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fashion_metric_equals_stock_coco_metric(tmp_path, seed):
    path, samples = made_data(tmp_path, STRAIGHT, seed)
    ours = evaluate(fashion_metric(path), samples)
    stock = evaluate(coco_metric(path), samples)
    assert len(stock) == 12
    for key, value in stock.items():  # the stock figures are rounded to three places
        if value == -1:
            assert key not in ours
        else:
            assert round(ours[key], 3) == pytest.approx(value, abs=1e-9), key
    assert 0.05 < ours["coco/segm_mAP"] < 0.95


def test_fashion_metric_file_in_another_order_keeps_scores_where_stock_loses_them(tmp_path):
    straight, samples = made_data(tmp_path, STRAIGHT)
    permuted, _ = made_data(tmp_path, PERMUTED)
    ours = [evaluate(fashion_metric(p), samples) for p in (straight, permuted)]
    stock = [evaluate(coco_metric(p), samples) for p in (straight, permuted)]
    assert ours[0] == ours[1]
    # The same detections of the same instances: the stock metric scores them under wrong names.
    assert stock[1]["coco/segm_mAP"] < 0.5 * stock[0]["coco/segm_mAP"]


def test_fashion_metric_permuted_predictions_lower_it(tmp_path):
    path, samples = made_data(tmp_path, STRAIGHT)
    right = evaluate(fashion_metric(path), samples)
    for sample in samples:
        found = sample["pred_instances"]
        found["labels"] = (found["labels"] + 1) % 3
    wrong = evaluate(fashion_metric(path), samples)
    for kind in ("bbox", "segm"):
        assert wrong[f"coco/{kind}_mAP"] < 0.5 * right[f"coco/{kind}_mAP"]


def test_fashion_metric_class_that_the_file_lacks_is_survived(tmp_path):
    path, samples = made_data(tmp_path, STRAIGHT)
    with_coat = evaluate(fashion_metric(path), samples)
    path, samples = made_data(tmp_path, STRAIGHT[:3])
    assert evaluate(fashion_metric(path), samples) == with_coat


def test_fashion_metric_keys_name_classes_with_ground_truth_only(tmp_path):
    path, samples = made_data(tmp_path, PERMUTED)
    found = evaluate(fashion_metric(path), samples)
    classes = {k.rpartition("/")[2] for k in found if k.startswith("coco/segm_AP/")}
    groups = {k.rpartition("/")[2] for k in found if k.startswith("coco/segm_AP_super/")}
    assert classes == {"dress", "shoe", "hat"}
    assert groups == {"wholebody", "legs and feet", "head"}
    mean = np.mean([found[f"coco/segm_AP/{name}"] for name in classes])
    assert found["coco/segm_mAP"] == pytest.approx(mean, abs=1e-9)
    assert all(type(v) is float and math.isfinite(v) for v in found.values())


def test_fashion_metric_table_is_logged_once_and_counts_what_is_left_out(tmp_path, log, capsys):
    path, samples = made_data(tmp_path, PERMUTED)
    evaluate(fashion_metric(path), samples)
    assert log.text.count("AP, %") == 1
    assert "1 of 4 classes have no ground truth here." in log.text
    assert "predictions of 1 classes without ground truth cannot be scored" in log.text
    assert "Evaluate annotation type" not in capsys.readouterr().out


def test_fashion_metric_no_predictions_is_zero_with_a_warning(tmp_path, log):
    path, samples = made_data(tmp_path, PERMUTED)
    for sample in samples:
        sample["pred_instances"] = {k: v[:0] for k, v in sample["pred_instances"].items()}
    found = evaluate(fashion_metric(path), samples)
    assert found["coco/bbox_mAP"] == found["coco/segm_mAP"] == 0.0
    assert set(found.values()) == {0.0}
    assert "predicts nothing on any image" in log.text


def test_fashion_metric_unpredicted_images_count_and_are_said(tmp_path, log):
    path, samples = made_data(tmp_path, PERMUTED)
    whole = evaluate(fashion_metric(path), samples)["coco/segm_mAP"]
    metric = fashion_metric(path)
    half = evaluate(metric, samples[:4])["coco/segm_mAP"]
    assert half < whole
    evidence = metric.evidence()
    seen = sorted(sample["img_id"] for sample in samples[:4])
    assert evidence.image_ids[evidence.predicted].tolist() == seen
    assert "4 of 8 images were not predicted" in log.text


def test_fashion_metric_not_finite_predictions_are_left_out_and_said(tmp_path, log):
    import torch

    path, samples = made_data(tmp_path, PERMUTED)
    right = evaluate(fashion_metric(path), samples)
    found = samples[0]["pred_instances"]
    for key, value in found.items():
        found[key] = torch.cat([value, value[:1]])
    found["scores"][-1] = float("nan")
    assert evaluate(fashion_metric(path), samples) == right
    assert "1 predictions that are not finite" in log.text


def test_fashion_metric_mask_scores_rank_masks_only(tmp_path):
    path, samples = made_data(tmp_path, STRAIGHT)
    plain = evaluate(fashion_metric(path), samples)
    for sample in samples:
        found = sample["pred_instances"]
        found["mask_scores"] = 1 - found["scores"]
    ranked = evaluate(fashion_metric(path), samples)
    assert ranked["coco/bbox_mAP"] == plain["coco/bbox_mAP"]
    assert ranked["coco/segm_mAP"] != plain["coco/segm_mAP"]


def test_fashion_metric_boxes_alone_need_no_masks(tmp_path):
    path, samples = made_data(tmp_path, STRAIGHT)
    for sample in samples:
        del sample["pred_instances"]["masks"]
    found = evaluate(fashion_metric(path, metric="bbox"), samples)
    assert found["coco/bbox_mAP"] > 0
    assert not any("segm" in key for key in found)
    with pytest.raises(ConfigError, match="masks expected"):
        evaluate(fashion_metric(path), samples)


def test_fashion_metric_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match="got 'proposal'"):
        fashion_metric("a.json", metric="proposal")


def test_fashion_metric_shoe_type_where_the_truth_says_shoe_is_right_in_the_46_view(tmp_path):
    import torch

    classes = ("shoe", "sandals", "dress", "sleeve")
    boxes = [(10, 10, 30, 30), (60, 60, 40, 40), (110, 20, 30, 30)]
    truth = [
        {"id": i + 1, "image_id": 1, "bbox": list(box), "category_id": 1 + [0, 2, 3][i],
         "area": box[2] * box[3], "iscrowd": 0, "segmentation": encode_mask(rectangle(box))}
        for i, box in enumerate(boxes)
    ]  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE, "width": SIZE}],
        "annotations": truth,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(classes)],
    }))
    edges = torch.tensor([[10, 10, 40, 40], [60, 60, 100, 100]], dtype=torch.float32)
    sample = {
        "img_id": 1, "ori_shape": (SIZE, SIZE),
        "pred_instances": {
            "bboxes": edges, "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.8]),
            "masks": torch.from_numpy(np.stack([rectangle(b) for b in boxes[:2]])),
        },
    }  # fmt: skip
    metric = fashion_metric(str(path), metric=("bbox", "segm", "boundary"))
    found = evaluate(metric, [sample], classes)
    for kind in ("bbox", "segm", "boundary"):
        assert found[f"coco/{kind}_mAP"] == pytest.approx(1 / 3)
        assert found[f"coco/{kind}_46_classes_mAP"] == pytest.approx(2 / 3)
        assert found[f"coco/{kind}_AR_100"] == pytest.approx(1 / 3)
        assert found[f"coco/{kind}_AP_side/garments"] == 1
        assert found[f"coco/{kind}_AP_side/parts"] == 0


def test_fashion_metric_evidence_gives_the_figures_again(tmp_path):
    from fashion_mmdet.core.curves import average_precisions, mean_ap

    path, samples = made_data(tmp_path, STRAIGHT)
    metric = fashion_metric(path)
    assert metric.evidence() is None
    found = evaluate(metric, samples)
    evidence = metric.evidence()
    assert evidence.classes == CLASSES and evidence.file_names[1] == "1.jpg"
    for kind, matches in evidence.matches.items():
        ap_BKT = average_precisions(matches, len(CLASSES))
        assert mean_ap(ap_BKT)[0] == pytest.approx(found[f"coco/{kind}_mAP"], abs=1e-12)
        assert 0.02 < found[f"coco/{kind}_mAP"] < 0.98
    for name in ("notebook/mAP_50", "notebook/F1", "imat2019_local"):
        assert 0 < found[f"coco/{name}"] < 1
