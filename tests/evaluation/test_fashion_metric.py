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


def pasted(sample, seed=0):
    """Return a sample whose masks are EncodedMasks, made of random grids in its boxes."""
    import torch

    from fashion_mmdet.models.encoded_mask_head import EncodedMask, EncodedMasks

    found = sample["pred_instances"]
    rng = np.random.default_rng(seed + sample["img_id"])
    grids = rng.random((len(found["bboxes"]), 7, 7)).astype(np.float32)
    grids = torch.nn.functional.interpolate(torch.from_numpy(grids)[None], size=(28, 28))[0]
    masks = EncodedMasks(
        EncodedMask.pasted(grid, box, SIZE, SIZE, 0.3)
        for grid, box in zip(grids.numpy(), found["bboxes"].numpy(), strict=True)
    )
    return {**sample, "pred_instances": {**found, "masks": masks}}


def write_point(tmp_path, point, **about):
    from fashion_mmdet.core.operating_point import write_operating_point

    path = tmp_path / "point.json"
    write_operating_point(path, point, about)
    return str(path)


def test_fashion_metric_at_a_point_scores_what_it_keeps_and_says_how_many(tmp_path, log):
    from fashion_mmdet.core.operating_point import OperatingPoint

    path, samples = made_data(tmp_path, STRAIGHT)
    metric = fashion_metric(path)
    whole = evaluate(metric, samples)
    evidence = metric.evidence()
    point = OperatingPoint(0.4, {"shoe": 0.6}, nms_iou=0.5, max_count=6)
    file = write_point(tmp_path, point, classes=list(CLASSES))
    metric = fashion_metric(path, point=file)
    found = evaluate(metric, samples)
    kept = metric.evidence().found
    expected = 0
    for image in range(len(evidence.image_ids)):
        at = np.flatnonzero(evidence.found.image == image)
        rles = [evidence.found.rle(n, (SIZE, SIZE)) for n in at]
        of_image = (evidence.found.label[at], evidence.found.score[at], rles, (SIZE, SIZE))
        which = at[point.kept(CLASSES, *of_image)]
        assert kept.score[kept.image == image].tolist() == evidence.found.score[which].tolist()
        expected += which.size
    assert 0 < expected < len(evidence.found)
    assert f"{expected} of {len(evidence.found)} predictions kept" in log.text
    assert "point.json: score 0.4 (shoe 0.6), nms_iou 0.5, max_count 6: " in log.text
    assert found["coco/segm_AR_100"] < whole["coco/segm_AR_100"]


@pytest.mark.parametrize(
    ("name", "key"),
    [("imat2019", "imat2019_local"), ("ap", "segm_mAP"), ("f1", "segm_F1_50")],
)
def test_fashion_metric_at_a_point_gives_the_figure_that_tune_promised(tmp_path, name, key):
    from fashion_mmdet.core.operating_point import OperatingPoint
    from fashion_mmdet.tuning.measures import MEASURES
    from fashion_mmdet.tuning.photos import Photos

    path, samples = made_data(tmp_path, STRAIGHT)
    metric = fashion_metric(path)
    assert not any("F1_50" in key for key in evaluate(metric, samples))
    point = OperatingPoint(0.2, {"shoe": 0.1}, nms_iou=0.5)
    outcome = MEASURES[name].of(Photos(metric.evidence()), point)
    found = evaluate(fashion_metric(path, point=write_point(tmp_path, point)), samples)
    figure = found[f"coco/{key}"]
    assert outcome.values(np.ones(len(samples), bool))[0] == pytest.approx(figure, abs=1e-12)
    assert 0.02 < figure < 0.98


def test_fashion_metric_at_a_point_gives_f1_precision_and_recall_by_hand(tmp_path, log):
    import torch

    from fashion_mmdet.core.operating_point import OperatingPoint

    # Four instances; two dresses are found, one of them twice, a shoe is named a hat at 0.3.
    there = [("dress", 0), ("dress", 40), ("shoe", 80), ("hat", 120)]
    annotations = [
        {"id": n + 1, "image_id": 1, "bbox": [x, 0, 30, 30], "area": 900, "iscrowd": 0,
         "category_id": CLASSES.index(name) + 1, "segmentation": encode_mask(rectangle(box))}
        for n, (name, x) in enumerate(there) for box in [(x, 0, 30, 30)]
    ]  # fmt: skip
    path = tmp_path / "a.json"
    images = [{"id": 1, "file_name": "1.jpg", "height": SIZE, "width": SIZE}]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": STRAIGHT})
    )

    def sample(found):
        boxes = [[x, 0, x + 30, 30] for _, x, _ in found]
        masks = [rectangle((x, 0, 30, 30)) for _, x, _ in found]
        return {"img_id": 1, "ori_shape": (SIZE, SIZE), "pred_instances": {
            "bboxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor([CLASSES.index(name) for name, _, _ in found]),
            "scores": torch.tensor([score for _, _, score in found]),
            "masks": torch.from_numpy(np.array(masks).reshape(-1, SIZE, SIZE)),
        }}  # fmt: skip

    found = [("dress", 0, 0.9), ("dress", 1, 0.8), ("dress", 40, 0.7), ("hat", 80, 0.3),
             ("shoe", 120, 0.6)]  # fmt: skip
    file = write_point(tmp_path, OperatingPoint(0.5))
    figures = evaluate(fashion_metric(str(path), point=file), [sample(found)])
    # Kept are four, two of them right; of four instances two are found.
    for kind in ("segm", "bbox"):
        at_50 = [figures[f"coco/{kind}_{name}_50"] for name in ("F1", "precision", "recall")]
        assert at_50 == [0.5, 0.5, 0.5]
    assert "segm of what it keeps at IoU 0.5, %: F1 50.0, precision 50.0, recall 50.0." in log.text
    file = write_point(tmp_path, OperatingPoint(0.65))
    figures = evaluate(fashion_metric(str(path), point=file), [sample(found)])
    at_50 = [figures[f"coco/segm_{name}_50"] for name in ("F1", "precision", "recall")]
    assert at_50 == pytest.approx([4 / 7, 2 / 3, 1 / 2])
    # Nothing is kept: no precision of nothing.
    file = write_point(tmp_path, OperatingPoint(0.95))
    figures = evaluate(fashion_metric(str(path), point=file), [sample(found)])
    assert figures["coco/segm_F1_50"] == figures["coco/segm_recall_50"] == 0.0
    assert "coco/segm_precision_50" not in figures


def test_fashion_metric_evidence_names_the_point_that_has_cut_it(tmp_path):
    from fashion_mmdet.core.evidence import read_evidence, write_evidence
    from fashion_mmdet.core.operating_point import OperatingPoint, checked_point

    path, samples = made_data(tmp_path, STRAIGHT)
    samples = [pasted(sample) for sample in samples]
    metric = fashion_metric(path)
    evaluate(metric, samples)
    assert metric.evidence().made_with == {}
    point = OperatingPoint(0.4, {"shoe": 0.6}, nms_iou=0.5, mask_threshold=1)  # JSON's 1 is whole
    metric = fashion_metric(path, point=write_point(tmp_path, point))
    evaluate(metric, samples)
    write_evidence(tmp_path / "e.npz", metric.evidence())
    evidence = read_evidence(tmp_path / "e.npz")
    assert checked_point(evidence.made_with["point"], CLASSES, "x") == point
    assert evidence.mask_threshold == 1.0


@pytest.mark.parametrize(("wanted", "made_anew"), [(0.3, False), (0.5, True)])
def test_fashion_metric_masks_of_the_point_s_threshold_are_not_made_again(
    tmp_path, monkeypatch, wanted, made_anew
):
    from fashion_mmdet.core.operating_point import OperatingPoint
    from fashion_mmdet.evaluation import fashion_metric as module

    path, samples = made_data(tmp_path, STRAIGHT)
    samples = [pasted(sample) for sample in samples]  # made with 0.3, as a config may
    real, asked = module.paste_mask, []

    def counted(*args):
        asked.append(args[-1])
        return real(*args)

    monkeypatch.setattr(module, "paste_mask", counted)
    file = write_point(tmp_path, OperatingPoint(0.0, mask_threshold=wanted))
    metric = fashion_metric(path, point=file)
    evaluate(metric, samples)
    n = sum(len(sample["pred_instances"]["labels"]) for sample in samples)
    assert asked == ([wanted] * n if made_anew else [])
    assert metric.evidence().mask_threshold == wanted


def test_fashion_metric_at_the_point_that_drops_nothing_changes_no_ap(tmp_path):
    from fashion_mmdet.core.operating_point import OperatingPoint

    path, samples = made_data(tmp_path, STRAIGHT)
    samples = [pasted(sample) for sample in samples]
    file = write_point(tmp_path, OperatingPoint(0.0, mask_threshold=0.3))
    plain, at_point = (evaluate(fashion_metric(path, point=p), samples) for p in (None, file))
    for key, value in plain.items():
        if "imat2019" not in key:  # its own 0.5 is the point's matter
            assert at_point[key] == value, key


def test_fashion_metric_mask_threshold_of_a_point_makes_the_masks_anew(tmp_path):
    from fashion_mmdet.core.operating_point import OperatingPoint
    from fashion_mmdet.core.paste import paste_mask

    path, samples = made_data(tmp_path, STRAIGHT)
    samples = [pasted(sample) for sample in samples]
    file = write_point(tmp_path, OperatingPoint(0.0, mask_threshold=0.6))
    metric = fashion_metric(path, point=file)
    evaluate(metric, samples)
    evidence = metric.evidence()
    assert evidence.mask_threshold == 0.6
    first = samples[0]["pred_instances"]
    order = np.argsort(-first["scores"].numpy(), kind="stable")
    for n, i in enumerate(order.tolist()):
        mask = first["masks"][i]
        wanted = paste_mask(mask.grid, mask.box_xyxy, SIZE, SIZE, 0.6)
        assert evidence.found.counts[n] == wanted["counts"] != mask["counts"]


def test_fashion_metric_mask_threshold_without_grids_or_a_point_of_others_is_refused(tmp_path):
    from fashion_mmdet.core.operating_point import OperatingPoint

    path, samples = made_data(tmp_path, STRAIGHT)
    file = write_point(tmp_path, OperatingPoint(mask_threshold=0.4))
    with pytest.raises(ConfigError, match="mask_threshold: 0.5, with which the masks were made"):
        evaluate(fashion_metric(path, point=file), samples)
    file = write_point(tmp_path, OperatingPoint(), classes=["dress", "sock"])
    with pytest.raises(ConfigError, match="tuned for the model's 4 classes expected"):
        evaluate(fashion_metric(path, point=file), samples)


def test_fashion_metric_keeps_grids_that_make_the_masks_again(tmp_path):
    from fashion_mmdet.core.evidence import read_evidence, write_evidence
    from fashion_mmdet.core.paste import paste_mask

    path, samples = made_data(tmp_path, STRAIGHT)
    samples = [pasted(sample) for sample in samples]
    plain = fashion_metric(path)
    figures = evaluate(plain, samples)
    assert plain.evidence().found.grids_NHW is None and plain.evidence().mask_threshold == 0.3
    metric = fashion_metric(path, keep_grids=True)
    assert evaluate(metric, samples) == figures
    write_evidence(tmp_path / "e.npz", metric.evidence())
    found = read_evidence(tmp_path / "e.npz").found
    assert found.counts == plain.evidence().found.counts
    assert found.grids_NHW.shape == (len(found), 28, 28)
    same = 0
    for n in range(len(found)):
        grid = found.grids_NHW[n].astype(np.float32) / np.float32(255)
        made = paste_mask(grid, found.grid_box_xyxy[n], SIZE, SIZE, 0.3)
        same += made["counts"] == found.counts[n]
    assert same > 0.5 * len(found), "but for a rounding to 1 / 255"


def test_fashion_metric_keep_grids_without_grids_or_masks_is_refused(tmp_path):
    path, samples = made_data(tmp_path, STRAIGHT)
    with pytest.raises(ConfigError, match="masks of EncodedMaskHead, with their grids, expected"):
        evaluate(fashion_metric(path, keep_grids=True), samples)
    with pytest.raises(ConfigError, match="'segm' among the metrics expected with keep_grids"):
        fashion_metric(path, metric="bbox", keep_grids=True)


def test_encoded_mask_keeps_its_grid_where_it_is_picked_joined_or_copied(tmp_path):
    import copy
    import pickle

    from fashion_mmdet.models.encoded_mask_head import EncodedMask, EncodedMasks

    _, samples = made_data(tmp_path, STRAIGHT)
    masks = pasted(samples[0])["pred_instances"]["masks"]
    joined = EncodedMasks.cat([masks[1:], masks[:1]])
    for other in (joined[-1], copy.deepcopy(masks[0]), pickle.loads(pickle.dumps(masks[0]))):
        assert (other.grid == masks[0].grid).all() and other.threshold == 0.3
        assert (other.box_xyxy == masks[0].box_xyxy).all() and set(other) == {"size", "counts"}
    assert EncodedMask(size=[2, 2], counts="13").grid is None
