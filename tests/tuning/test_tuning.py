"""The search for an operating point: exact tables, planted rules, and nothing out of nothing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_evidence import CLASSES, indifferent, made, middling  # noqa: E402

from fashion_mmdet.core.bootstrap import draws_of  # noqa: E402
from fashion_mmdet.core.curves import average_precisions, mean_ap  # noqa: E402
from fashion_mmdet.core.errors import FashionError  # noqa: E402
from fashion_mmdet.core.evidence import write_evidence  # noqa: E402
from fashion_mmdet.core.ground_truth import GroundTruth  # noqa: E402
from fashion_mmdet.core.image_scores import imat2019_scores  # noqa: E402
from fashion_mmdet.core.matching import match  # noqa: E402
from fashion_mmdet.core.operating_point import OperatingPoint  # noqa: E402
from fashion_mmdet.core.thresholds import threshold_curves  # noqa: E402
from fashion_mmdet.tuning.halves import folds_of, halves  # noqa: E402
from fashion_mmdet.tuning.measures import MEASURES, SCORES  # noqa: E402
from fashion_mmdet.tuning.photos import Photos  # noqa: E402
from fashion_mmdet.tuning.search import HAIR, search  # noqa: E402
from fashion_mmdet.tuning.source import Source, read_source  # noqa: E402
from fashion_mmdet.tuning.tune import tune  # noqa: E402

F1, IMAT, AP = (MEASURES[name] for name in ("f1", "imat2019", "ap"))
POINTS = [
    OperatingPoint(),
    OperatingPoint(0.3, {"shoe": 0.6}),
    OperatingPoint(0.4, nms_iou=0.5),
    OperatingPoint(0.4, {"hat": 0.2}, nms_iou=0.4, min_area=2000),
    OperatingPoint(0.2, nms_iou_any=0.5, max_count=3),
    OperatingPoint(0.5, {"dress": 0.1, "hat": 0.7}, nms_iou=0.6, nms_iou_any=0.7, max_count=2),
]


def everywhere(photos):
    return np.ones(photos.images.size, dtype=bool)


def value(measure, photos, point):
    return float(measure.of(photos, point).values(everywhere(photos))[0])


def kept_of(evidence, point):
    """Return the detections that the point itself keeps, as dictionaries."""
    found, out = evidence.found, []
    for image, image_id in enumerate(evidence.image_ids.tolist()):
        at = np.flatnonzero(found.image == image)
        size_hw = tuple(evidence.size_hw[image].tolist())
        rles = [found.rle(n, size_hw) for n in at.tolist()]
        for n in point.kept(evidence.classes, found.label[at], found.score[at], rles, size_hw):
            out.append({
                "image_id": image_id, "label": int(found.label[at[n]]),
                "score": float(found.score[at[n]]), "segmentation": rles[n],
                "bbox": found.box_xywh[at[n]].tolist(), "area": float(found.area_px[at[n]]),
            })  # fmt: skip
    return out


def truth_of(evidence):
    annotations = []
    for n in range(len(evidence.truth)):
        image = int(evidence.truth.image[n])
        annotations.append({
            "image_id": int(evidence.image_ids[image]), "category_id": int(evidence.truth.label[n]),
            "iscrowd": int(evidence.truth.is_crowd[n]), "area": float(evidence.truth.area_px[n]),
            "segmentation": evidence.truth.rle(n, evidence.size_hw[image]),
            "bbox": evidence.truth.box_xywh[n].tolist(),
        })  # fmt: skip
    return annotations


@pytest.mark.parametrize("point", POINTS)
def test_figures_of_a_point_equal_those_of_what_it_keeps(point):
    evidence = middling()
    photos, kept, annotations = Photos(evidence), kept_of(evidence, point), truth_of(evidence)
    assert 0 < len(kept) < len(evidence.found)
    matches = match(evidence.image_ids.tolist(), annotations, kept, "segm")
    curves = threshold_curves(matches, 3, np.zeros(1))
    assert value(F1, photos, point) == pytest.approx(curves.f1_KT[-1, 0], abs=1e-12)
    ap = float(mean_ap(average_precisions(matches, 3))[0])
    assert value(AP, photos, point) == pytest.approx(ap, abs=1e-12)
    ours = AP.of(photos, point).draws(50, 3)
    theirs = draws_of(matches, 3, n_draws=50, seed=3)["mAP"]
    assert np.array_equal(ours.draws_BK, theirs.draws_BK, equal_nan=True)
    assert np.array_equal(ours.images_K, theirs.images_K) and ours.n_images == theirs.n_images
    sizes = {int(i): (64, 64) for i in evidence.image_ids}
    truth = GroundTruth("x", CLASSES, (None,) * 3, sizes, annotations, {}, {}, [])
    mean = float(imat2019_scores(truth, kept).mean())
    assert value(IMAT, photos, point) == pytest.approx(mean, abs=1e-12)
    assert 0.05 < mean < 0.95


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("measure", [F1, IMAT])
@pytest.mark.parametrize("label", [None, 0, 2])
def test_table_of_scores_equals_each_score_by_itself(measure, point, label):
    photos = Photos(middling(12, seed=1))
    table = measure.table(photos, point, label)
    for j in range(0, SCORES.size, 3):
        score = float(SCORES[j])
        if label is None:
            at = replace(point, score=score)
        else:
            at = replace(point, score_of={**point.score_of, CLASSES[label]: score})
        one = measure.of(photos, at)
        assert np.allclose(table.over_IJ[:, j], one.over_IJ[:, 0], rtol=0, atol=1e-12), score
        assert np.array_equal(table.under_IJ[:, j], one.under_IJ[:, 0]), score
    assert np.unique(table.over_IJ.sum(axis=0)).size > 2


def test_figures_of_two_photos_equal_those_by_hand():
    # The second detection covers 6 of the 10 columns: an IoU of 0.6, which lies above 0.5 and 0.55.
    # The third is of another class.
    photos = Photos(made([
        ([(0, (0, 0, 10, 10)), (1, (20, 0, 10, 10))],
         [(0, (0, 0, 10, 10), 0.9), (1, (20, 0, 6, 10), 0.8), (2, (40, 0, 5, 5), 0.6)]),
        ([(0, (0, 0, 10, 10))], [(1, (0, 0, 10, 10), 0.4)]),
    ]))  # fmt: skip
    # At 0.5: two right, one false, one missed.
    assert value(F1, photos, OperatingPoint()) == pytest.approx(2 * 2 / (3 + 3))
    assert value(F1, photos, OperatingPoint(0.3)) == pytest.approx(2 * 2 / (4 + 3))
    assert value(F1, photos, OperatingPoint(0.7)) == pytest.approx(2 * 2 / (2 + 3))
    # First photo: 2 of 3 at two thresholds, then 1 right, 2 false, 1 missed. Second: 0.
    assert value(IMAT, photos, OperatingPoint()) == pytest.approx((2 * 2 / 3 + 8 * 1 / 4) / 20)


def test_halves_have_the_rare_classes_on_both_sides_and_every_photo_once():
    evidence = middling(41, seed=2)
    labels = [2, 2, *(n % 2 for n in range(30))]
    rare = made([([(label, (0, 0, 9, 9))], []) for label in labels])
    for seed in range(5):
        first, second = halves(Photos(rare), seed)
        assert 2 in first.instances() and 2 in second.instances()
        first, second = halves(Photos(evidence), seed)
        together = np.sort(np.r_[first.images, second.images])
        assert np.array_equal(together, np.arange(41)) and abs(len(first.images) - 20.5) < 3
    one, other, again = (halves(Photos(evidence), seed)[0].images.tolist() for seed in (0, 1, 0))
    assert one == again != other


def test_halves_leave_out_photos_that_the_model_did_not_see():
    evidence = middling(20)
    seen = np.arange(20) % 4 > 0
    first, second = halves(Photos(replace(evidence, predicted=seen)), 0)
    assert np.sort(np.r_[first.images, second.images]).tolist() == np.flatnonzero(seen).tolist()


def test_folds_are_even_and_those_of_the_seed():
    photos = Photos(middling(23))
    fold_I = folds_of(photos, 5, 0)
    assert sorted(np.bincount(fold_I).tolist()) == [4, 4, 5, 5, 5]
    assert fold_I.tolist() == folds_of(photos, 5, 0).tolist() != folds_of(photos, 5, 1).tolist()


def planted(n_photos=40, seed=0):
    """Return evidence with a rule for each kind of fault, all of them certain.

    Dresses are found at 0.6 to 0.9, false at 0.1 to 0.4; shoes are found at 0.3 to 0.5, false at
    0.5 to 0.9, further up; dresses are found twice, a px apart; hats are specks of 2 px, all false.
    """
    rng = np.random.default_rng(seed)
    photos = []
    for _ in range(n_photos):
        found = [(0, (0, 0, 12, 12), rng.uniform(0.6, 0.9)), (0, (30, 0, 12, 12), 0.4),
                 (0, (1, 0, 12, 12), rng.uniform(0.6, 0.9)),
                 (1, (0, 30, 12, 12), rng.uniform(0.85, 0.95)),
                 (1, (30, 30, 12, 12), rng.uniform(0.6, 0.8)),
                 (2, (50, 50, 2, 1), rng.uniform(0.6, 0.99))]  # fmt: skip
        photos.append(([(0, (0, 0, 12, 12)), (1, (0, 30, 12, 12))], found))
    return made(photos)


def source(evidence):
    return Source(Path("e.npz"), evidence, None, None, None, False)


def test_search_finds_the_planted_rules_and_no_others():
    evidence = planted()
    chosen = search(F1, Photos(evidence), 0)
    point = chosen.point
    assert value(F1, Photos(evidence), point) == 1.0
    of_dress, of_shoe = (point.score_of.get(name, point.score) for name in ("dress", "shoe"))
    assert 0.4 < of_dress <= 0.63 and 0.79 < of_shoe <= 0.86 and "hat" not in point.score_of
    # The copies overlap by 11 / 13. A speck of 2 px is 128 of 512 x 512.
    assert point.nms_iou is not None and point.min_area == 200
    assert point.nms_iou_any is None and point.max_count == 100
    assert chosen.tried["nms_iou"].is_taken and not chosen.tried["nms_iou_any"].is_taken


def test_search_of_a_class_with_few_instances_gives_it_no_score_of_its_own():
    # As many of dresses and of shoes, for which one threshold does not suit both.
    assert search(F1, Photos(planted(9)), 0).point.score_of == {}
    assert search(F1, Photos(planted(10)), 0).point.score_of != {}


def test_search_of_what_is_right_already_writes_no_rule():
    fine = made([([(0, (0, 0, 9, 9)), (1, (20, 0, 9, 9))],
                  [(0, (0, 0, 9, 9), 0.9), (1, (20, 0, 9, 9), 0.8)])] * 30)  # fmt: skip
    for measure in (F1, IMAT, AP):
        assert search(measure, Photos(fine), 0).point == measure.reference


def test_search_for_ap_never_cuts_scores_or_counts():
    photos = Photos(planted())
    point = search(AP, photos, 0).point
    assert point.score == 0 and point.score_of == {} and point.max_count == 100_000
    # Specks are of a class without instances: they cost AP nothing.
    assert value(AP, photos, point) >= value(AP, photos, AP.reference)


def test_tune_where_nothing_can_be_gained_flatters_itself_on_its_own_half_alone():
    # The negative control. Scores that say nothing, dealt out anew by each seed.
    own, held_out, verdicts, tried = [], [], [], []
    for seed in range(12):
        tuned = tune(source(indifferent(60, seed)), "f1", seed)
        gains = tuned.gains
        tried += tuned.tried.values()
        own.append(gains[0].difference.value)
        held_out.append(gains[1].difference.value)
        verdicts.append(gains[1].verdict)
    error = np.std(held_out, ddof=1) / np.sqrt(len(held_out))
    assert np.mean(own) > 0.005, "the search had something to be misled by"
    assert abs(np.mean(held_out)) < max(3 * error, HAIR)
    assert verdicts.count("better") <= 2
    # The folds see through most of what looks well.
    promising = [rule for rule in tried if rule.best is not None and rule.gain > HAIR]
    assert len(promising) > 10 and sum(rule.is_taken for rule in promising) < 0.5 * len(promising)


def test_tune_of_planted_rules_gains_on_the_other_half_and_says_so():
    tuned = tune(source(planted(60)), "f1")
    first, second = tuned.gains
    # Before: 4 of 5 detections above 0.5 in a photo, of which 2 are right; 2 instances.
    assert second.before.value == pytest.approx(2 * 2 / (5 + 2))
    assert second.after.value > 0.99 and second.verdict == "better" and second.has_interval
    assert first.verdict == "chosen here, so it flatters" and not first.has_interval
    assert first.about()["gain"]["low"] is None
    assert second.about()["gain"]["low"] > 0.3
    assert first.photos + second.photos == 60 and first.instances + second.instances == 120


def test_tune_of_few_photos_claims_no_interval():
    tuned = tune(source(planted(38)), "f1")
    assert tuned.gains[1].photos < 20
    assert tuned.gains[1].verdict == "too few photos to say" and not tuned.gains[1].has_interval
    assert "[" not in "".join(tuned.gains[1].row())


def test_tune_is_the_same_for_a_seed():
    evidence = middling(50)
    one, again, other = (tune(source(evidence), "imat2019", seed) for seed in (3, 3, 4))
    assert one.point == again.point and one.table() == again.table() != other.table()


def test_tune_on_all_writes_a_point_of_all_and_says_that_it_is_not_measured():
    evidence = planted(40)
    tuned = tune(source(evidence), "f1", on_all=True)
    assert tuned.point == search(F1, Photos(evidence), 0).point
    assert [gain.photos for gain in tuned.gains][2] == 40 and not tuned.gains[2].is_fair
    assert any("its gain is not measured" in remark for remark in tuned.remarks)


def test_tune_reports_the_written_point_on_other_photos():
    other = replace(planted(30, seed=5), sha256="b" * 64)
    tuned = tune(source(planted(40)), "f1", report_on=("test", other))
    assert tuned.gains[2].what == "test" and tuned.gains[2].photos == 30
    assert tuned.gains[2].after.value == value(F1, Photos(other), tuned.point)


def test_tune_refuses_to_report_on_photos_that_cannot_tell():
    evidence = planted(30)
    for other, said in (
        (evidence, "other annotations than those tuned on expected"),
        (replace(evidence, sha256="b" * 64, classes=("a", "b", "c")), "same 3 classes"),
        (replace(evidence, sha256="b" * 64, mask_threshold=0.4), "evidence with grids expected"),
    ):
        with pytest.raises(FashionError, match=said):
            tune(source(evidence), "f1", report_on=("x", other))


CUT = {"point": {"score": 0.4, "max_count": 9}}
SIX = {"views": 6, "members": []}
TWO = {"views": 1, "members": ["b run/best.pth"]}


def test_tune_of_what_a_point_has_cut_is_refused(tmp_path):
    cut = replace(planted(30), made_with=CUT)
    said = r"evidence of all detections expected, .* \(score 0.4, max_count 9\).*--split val"
    write_evidence(tmp_path / "e.npz", cut)
    with pytest.raises(FashionError, match=said):
        read_source(None, tmp_path / "e.npz")
    with pytest.raises(FashionError, match=said):
        tune(source(cut), "f1")
    with pytest.raises(FashionError, match=said):
        tune(source(planted(30)), "f1", report_on=("x", replace(cut, sha256="b" * 64)))


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        (SIX, "6 views of each photo (--tta) by the run's model: the point is for --tta, not"),
        (TWO, "with b run/best.pth (--ensemble): the point is for --ensemble, not"),
        ({**TWO, "views": 2}, "the point is for --tta --ensemble, not"),
    ],
)
def test_tune_of_several_views_or_models_says_what_the_point_is_for(made_with, said):
    voted = source(replace(planted(30), made_with=made_with))
    tuned = tune(voted, "f1")
    assert any(said in remark for remark in tuned.remarks)
    assert tuned.about(voted)["made_with"] == made_with
    plain = tune(source(planted(30)), "f1")
    assert plain.about(source(planted(30)))["made_with"] == {}
    assert not any("the point is for" in remark for remark in plain.remarks)


def test_tune_refuses_to_report_on_detections_of_other_voters():
    voted, plain = replace(planted(30), made_with=SIX), planted(30)
    for one, other in ((voted, plain), (plain, voted), (voted, replace(plain, made_with=TWO))):
        with pytest.raises(FashionError, match="as that tuned on, expected.*Evaluate both alike"):
            tune(source(one), "f1", report_on=("x", replace(other, sha256="b" * 64)))
    tuned = tune(source(voted), "f1", report_on=("x", replace(voted, sha256="b" * 64)))
    assert tuned.gains[2].what == "x"


def test_tune_without_masks_or_without_instances_is_refused():
    evidence = planted(30)
    bare = replace(evidence, found=replace(evidence.found, counts=None))
    with pytest.raises(FashionError, match="evidence with masks expected"):
        tune(source(bare), "f1")
    with pytest.raises(FashionError, match="photos with instances for two halves expected"):
        tune(source(made([([], [(0, (0, 0, 9, 9), 0.9)])] * 30)), "f1")


def with_grids(evidence, inner=0.4):
    """Return it with grids whose inner 14 x 14 cells are sure and the ring around is ``inner``."""
    n = len(evidence.found)
    grids = np.full((n, 28, 28), round(255 * inner), dtype=np.uint8)
    grids[:, 7:21, 7:21] = 255
    boxes = evidence.found.box_xywh.copy()
    boxes[:, 2:] += boxes[:, :2]
    found = replace(evidence.found, grids_NHW=grids, grid_box_xyxy=boxes.astype(np.float32))
    return replace(evidence, found=found, mask_threshold=0.5)


def test_tune_with_grids_finds_the_mask_threshold():
    # At 0.5 a mask is the inner quarter of its instance, at 0.4 and less all of it.
    photos = [([(n % 2, (8, 8, 28, 28))], [(n % 2, (8, 8, 28, 28), 0.9)]) for n in range(50)]
    whole = with_grids(made(photos))
    quarters = made([(there, [(label, (15, 15, 14, 14), s) for label, _, s in found])
                     for there, found in photos])  # fmt: skip
    counts = quarters.found.counts
    evidence = replace(whole, found=replace(whole.found, counts=counts))
    assert Photos(evidence).at(0.5)[0].iou_DG[0, 0] == pytest.approx(0.25)
    assert Photos(evidence).at(0.35)[0].iou_DG[0, 0] > 0.9
    for metric in MEASURES:
        tuned = tune(source(evidence), metric)
        assert tuned.point.mask_threshold in (0.3, 0.35) and tuned.gains[1].verdict == "better"
    without = replace(evidence, found=quarters.found)
    tuned = tune(source(without), "f1")
    assert tuned.point.mask_threshold == 0.5
    assert any("holds no grids" in remark for remark in tuned.remarks)
    with pytest.raises(FashionError, match="evidence with grids expected"):
        Photos(without).at(0.4)
