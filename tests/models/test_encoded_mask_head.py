"""``EncodedMaskHead``: mmdet's masks to the pixel, and what meets them afterwards."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fashion_mmdet.core.rle import decode, encode_mask

pytestmark = pytest.mark.mm


@pytest.fixture(autouse=True)
def mmdet_scope() -> None:
    """Losses are built by name, in whatever scope a test before has left."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)

SIZE_HW = (180, 240)
N_CLASSES = 3
CLASSES = ("dress", "shoe", "hat")


def made(seed, n=12, class_agnostic=False, scale=0.5, size_hw=SIZE_HW):
    """Return detections in the model's input and a mask head's random logits; boxes over edges."""
    import torch
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(seed)
    whole = torch.tensor([size_hw[1], size_hw[0]]) * scale
    # None lies outside the image altogether: mmdet fails at such a one.
    corner = torch.rand((n, 2), generator=generator) * whole * 1.05 - 0.1 * whole
    extent = (0.12 + 0.5 * torch.rand((n, 2), generator=generator)) * whole
    found = InstanceData(
        bboxes=torch.cat([corner, corner + extent], dim=1),
        labels=torch.randint(N_CLASSES, (n,), generator=generator),
        scores=torch.rand(n, generator=generator),
    )
    channels = 1 if class_agnostic else N_CLASSES
    # Smooth, as what a network gives: neighbours are alike.
    coarse = torch.randn((n, channels, 7, 7), generator=generator) * 3
    logits = torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear")
    return found, logits


def masks_of(head, found, logits, scale=0.5, size_hw=SIZE_HW, threshold=0.5, **kwargs):
    """Return the detections of one image with masks, made by ``head``."""
    from mmengine.config import ConfigDict

    given = found.clone()
    given.bboxes = given.bboxes.clone()
    meta = {"scale_factor": (scale, scale), "ori_shape": size_hw}
    (result,) = head.predict_by_feat(
        (logits,), [given], [meta], ConfigDict(mask_thr_binary=threshold), **kwargs
    )
    return result


def heads(class_agnostic=False):
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    from fashion_mmdet.models import EncodedMaskHead

    return [
        kind(num_classes=N_CLASSES, class_agnostic=class_agnostic)
        for kind in (FCNMaskHead, EncodedMaskHead)
    ]


def bitmaps(masks):
    return np.stack([np.asarray(mask) for mask in masks]).astype(bool)


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("activate_map", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_encoded_masks_equal_stock_head_pixel_for_pixel(
    class_agnostic, rescale, activate_map, threshold
):
    for seed in range(4):
        found, logits = made(seed, class_agnostic=class_agnostic)
        grids = logits.sigmoid() if activate_map else logits
        stock, ours = (
            masks_of(head, found, grids, threshold=threshold, rescale=rescale,
                     activate_map=activate_map)
            for head in heads(class_agnostic)
        )  # fmt: skip
        assert (bitmaps(ours.masks) == stock.masks.numpy()).all()
        assert 0.01 < stock.masks.float().mean() < 0.99
        # The caller's boxes are scaled in place, as by mmdet.
        assert (ours.bboxes == stock.bboxes).all()


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5])
def test_encoded_masks_equal_what_mmdet_pastes_on_a_gpu(threshold):
    # Below a half the fading beyond a box is in the mask. On a GPU mmdet pastes all of it, on a
    # CPU no more than a pixel around the box.
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    size_hw = (500, 700)
    stock, ours = heads()
    given = {"size_hw": size_hw, "threshold": threshold, "rescale": True}
    for seed in range(3):
        found, logits = made(seed, size_hw=size_hw)
        masks = bitmaps(masks_of(ours, found, logits, **given).masks)
        grids = logits[range(len(found)), found.labels].sigmoid()[:, None]
        pasted, _ = _do_paste_mask(grids, found.bboxes / 0.5, *size_hw, skip_empty=False)
        assert (masks == (pasted >= threshold).numpy()).all()
        on_cpu = masks_of(stock, found, logits, **given).masks.numpy()
        assert (masks >= on_cpu).all() and 0.01 < on_cpu.mean() < 0.99
        # At 0.3 it reaches a fifth of a cell beyond the box, at 0.1 two.
        assert (masks > on_cpu).any() == (threshold < 0.5)


def test_encoded_masks_threshold_below_zero_gives_mmdets_grey_bitmaps():
    found, logits = made(0)
    stock, ours = (
        masks_of(head, found, logits, threshold=-1, rescale=True).masks for head in heads()
    )
    assert (stock == ours).all() and len(stock.unique()) > 100


def test_encoded_masks_without_detections_are_mmdets_empty_tensor():
    found, logits = made(0)
    stock, ours = (masks_of(head, found[:0], logits[:0], rescale=True) for head in heads())
    assert tuple(ours.masks.shape) == tuple(stock.masks.shape) == (0, *SIZE_HW)
    assert ours.masks.dtype == stock.masks.dtype and len(ours) == 0


def test_encoded_mask_head_loads_a_checkpoint_of_the_stock_head_and_back():
    stock, ours = heads()
    for source, target in ((stock, ours), (ours, stock)):
        report = target.load_state_dict(source.state_dict(), strict=True)
        assert not report.missing_keys and not report.unexpected_keys
        for one, other in zip(source.parameters(), target.parameters(), strict=True):
            assert (one == other).all()


def test_encoded_masks_beyond_a_hundred_of_a_class_are_the_worst_and_are_not_made():
    import torch

    found, logits = made(1, n=150)
    found.labels = torch.tensor([0] * 120 + [1] * 30)
    stock, ours = (masks_of(head, found, logits, rescale=True) for head in heads())
    assert len(stock) == 150 and len(ours) == 130
    kept = torch.cat([torch.sort(found.scores[:120].argsort(descending=True)[:100]).values,
                      torch.arange(120, 150)])  # fmt: skip
    assert (ours.scores == found.scores[kept]).all() and (ours.labels == found.labels[kept]).all()
    assert (ours.bboxes == stock.bboxes[kept]).all()
    assert (bitmaps(ours.masks) == stock.masks[kept].numpy()).all()


def test_encoded_masks_take_the_memory_of_one_box_not_of_the_photos():
    n, size_hw = 50, (3000, 2000)
    found, logits = made(2, n=n, size_hw=size_hw)
    _, ours = heads()
    tracemalloc.start()
    masks = masks_of(ours, found, logits, size_hw=size_hw, rescale=True).masks
    _, peak_bytes = tracemalloc.get_traced_memory()  # numpy's arrays are traced, torch's are not
    tracemalloc.stop()
    assert len(masks) == n and max(decode(dict(mask)).mean() for mask in masks) > 0.05
    # Three times a photo's bitmap would hold it, its mask's ends and its code: not a hundred.
    assert peak_bytes < 3 * size_hw[0] * size_hw[1]


def test_encoded_mask_survives_pickle_copy_and_dict():
    from fashion_mmdet.models.encoded_mask_head import EncodedMask, EncodedMasks

    bitmap = np.zeros((6, 5), dtype=bool)
    bitmap[1:4, 2:] = True
    mask = EncodedMask(encode_mask(bitmap))
    for other in (pickle.loads(pickle.dumps(mask)), copy.deepcopy(mask), copy.copy(mask)):
        assert type(other) is EncodedMask and other == mask
        assert (np.asarray(other) == bitmap).all()
    assert dict(**mask) == dict(mask) == json.loads(json.dumps(mask)) == encode_mask(bitmap)
    assert (mask[:, :, np.newaxis][..., 0] == bitmap).all()
    assert np.array(mask, dtype=bool).dtype == bool
    masks = EncodedMasks([mask, EncodedMask(encode_mask(~bitmap))])
    for other in (pickle.loads(pickle.dumps(masks)), copy.deepcopy(masks)):
        assert list(other) == list(masks) and type(other[1]) is EncodedMask


def test_encoded_masks_are_picked_by_instance_data_in_every_way():
    import torch
    from mmengine.structures import InstanceData

    from fashion_mmdet.models.encoded_mask_head import EncodedMasks

    found, logits = made(3, n=6)
    result = masks_of(heads()[1], found, logits, rescale=True)
    codes = list(result.masks)
    for picked in (result.scores > 0.4, torch.tensor([4, 1]), np.array([0, 5]), slice(2, 5), [3]):
        expected = np.arange(6)[picked if isinstance(picked, slice) else np.asarray(picked)]
        assert 0 < len(expected) < 6
        assert list(result[picked].masks) == [codes[n] for n in expected]
    assert len(result[result.scores > 2].masks) == 0
    joined = InstanceData.cat([result[:2], result[4:]])
    assert isinstance(joined.masks, EncodedMasks)
    assert list(joined.masks) == codes[:2] + codes[4:]


@pytest.fixture
def scored(tmp_path):
    """An annotation file of three photos, and what both heads make of the same grids there."""
    images, annotations, samples = [], [], {"stock": [], "ours": []}
    for image_id in (1, 2, 3):
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": SIZE_HW[0],
                       "width": SIZE_HW[1]})  # fmt: skip
        found, logits = made(image_id, n=12)
        for name, head in zip(samples, heads(), strict=True):
            result = masks_of(head, found, logits, rescale=True)
            samples[name].append({
                "img_id": image_id, "ori_shape": SIZE_HW, "pred_instances": result.to_dict(),
            })  # fmt: skip
        # The truth is every other mask, a few pixels further: neither found nor missed throughout.
        for n in range(0, 12, 2):
            moved = np.roll(np.asarray(result.masks[n]), n // 2 * 2, axis=1)
            rows, columns = moved.any(axis=1).nonzero()[0], moved.any(axis=0).nonzero()[0]
            if not rows.size:
                continue
            corner = [int(columns[0]), int(rows[0])]
            extent = [int(columns[-1]) - corner[0] + 1, int(rows[-1]) - corner[1] + 1]
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "iscrowd": 0,
                "category_id": int(result.labels[n]) + 1, "segmentation": encode_mask(moved),
                "area": int(moved.sum()), "bbox": corner + extent,
            })  # fmt: skip
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)]
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return SimpleNamespace(path=str(path), **samples)


def figures_of(metric, samples):
    metric.dataset_meta = {"classes": CLASSES}
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def test_encoded_masks_are_scored_by_mmdets_metric_as_bitmaps_are(scored):
    from mmdet.evaluation import CocoMetric

    stock, ours = (
        figures_of(CocoMetric(scored.path, metric=["bbox", "segm"]), samples)
        for samples in (scored.stock, scored.ours)
    )
    assert stock == ours and 0.05 < ours["coco/segm_mAP"] < 0.95


def test_encoded_masks_are_scored_by_fashion_metric_as_bitmaps_are(scored):
    from fashion_mmdet.evaluation import FashionMetric

    stock, ours = (
        figures_of(FashionMetric(scored.path), samples)
        for samples in (scored.stock, scored.ours)
    )
    assert stock == ours and 0.05 < ours["coco/segm_mAP"] < 0.95


def test_encoded_masks_dropped_beyond_a_hundred_leave_every_ap_as_it_was(scored):
    import torch

    from fashion_mmdet.evaluation import FashionMetric

    # The twelve detections once more, and 130 bad ones of the first class below them.
    found, logits = made(1, n=12)
    more, bad_logits = made(9, n=130)
    more.labels[:] = 0
    more.scores = more.scores * found.scores.min()
    both = type(found).cat([found, more])
    results = []
    for head in heads():
        result = masks_of(head, both, torch.cat([logits, bad_logits]), rescale=True)
        sample = {"img_id": 1, "ori_shape": SIZE_HW, "pred_instances": result.to_dict()}
        samples = [sample, *scored.stock[1:]]
        results.append(figures_of(FashionMetric(scored.path), samples))
        n_kept = len(result)
    stock, ours = results
    assert n_kept < 142
    for key, value in stock.items():
        if "notebook" not in key and "imat2019" not in key:  # these take all detections
            assert ours[key] == value, key
    assert 0.05 < ours["coco/segm_mAP"] < 0.95


def test_encoded_masks_are_dumped_as_mim_test_out_does(scored, tmp_path):
    from mmdet.evaluation import DumpDetResults

    dumped = []
    for name in ("stock", "ours"):
        path = tmp_path / f"{name}.pkl"
        metric = DumpDetResults(out_file_path=str(path))
        metric.process({}, copy.deepcopy(getattr(scored, name)))
        metric.evaluate(3)
        dumped.append(pickle.loads(path.read_bytes()))
    for stock, ours in zip(*dumped, strict=True):
        assert stock["pred_instances"]["masks"] == ours["pred_instances"]["masks"]
        assert len(ours["pred_instances"]["masks"]) == 12
        # Plain, so that the file is read where this package is not.
        assert {type(mask) for mask in ours["pred_instances"]["masks"]} == {dict}


def test_encoded_masks_are_written_by_mmdets_inferencer(scored):
    from mmdet.apis import DetInferencer
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    written = []
    for samples in (scored.stock, scored.ours):
        sample = DetDataSample()
        sample.pred_instances = InstanceData(**samples[0]["pred_instances"])
        written.append(DetInferencer.pred2dict(SimpleNamespace(), sample))
    assert written[0] == written[1] and len(written[1]["masks"]) == 12
    assert json.loads(json.dumps(written[1])) == written[1]


def test_encoded_masks_are_drawn_as_bitmaps_are(scored, tmp_path):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    from fashion_mmdet.visualization import FashionVisualizer

    visualizer = FashionVisualizer(min_side_px=1)
    visualizer.dataset_meta = {"classes": CLASSES}
    pictures = []
    for name in ("stock", "ours"):
        sample = DetDataSample()
        sample.pred_instances = InstanceData(**getattr(scored, name)[0]["pred_instances"])
        for threshold in (0.5, 2.0):  # 2: none is drawn
            path = tmp_path / f"{name}_{threshold}.png"
            visualizer.add_datasample(
                "x", np.zeros((*SIZE_HW, 3), np.uint8), sample, out_file=str(path),
                pred_score_thr=threshold,
            )  # fmt: skip
            pictures.append(path.read_bytes())
    assert pictures[:2] == pictures[2:] and pictures[0] != pictures[1]


def test_encoded_masks_of_the_whole_demo_model_come_through_the_inferencer(repo_dir, tmp_path,
                                                                           monkeypatch):
    import torch
    from mmdet.apis import DetInferencer
    from mmengine.config import Config

    import fashion_mmdet.register  # noqa: F401

    monkeypatch.setenv("FASHION_WEIGHTS", "none")
    cfg = Config.fromfile(repo_dir / "configs" / "demo" / "mask_rcnn_r18_demo.py")
    cfg.visualizer.vis_backends = []
    # A model that has learnt nothing is sure of nothing.
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    cfg.model.test_cfg.rcnn.max_per_img = 5
    torch.manual_seed(0)
    inferencer = DetInferencer(cfg, weights=None, device="cpu", palette="random",
                               show_progress=False)  # fmt: skip
    photo = str(tmp_path / "photo.png")
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    assert cv2.imwrite(photo, pixels)
    out = inferencer(photo, out_dir=str(tmp_path), no_save_pred=False, pred_score_thr=0.0)
    (written,) = out["predictions"]
    assert len(written["masks"]) == len(written["labels"]) == 5
    assert all(mask["size"] == [90, 120] for mask in written["masks"])
    assert json.loads((tmp_path / "preds" / "photo.json").read_text()) == written
    assert (tmp_path / "vis" / "photo.png").is_file()
