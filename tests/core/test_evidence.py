"""What an evaluation leaves: read back as written, and refused where it is damaged or foreign."""

from __future__ import annotations

import io
import json
import pickle
import random
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from fashion_mmdet.core import evidence as module
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import Evidence, read_evidence, write_evidence
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.rle import decode, encode_mask
from fashion_mmdet.core.shapes import to_shapes


@pytest.fixture
def evidence():
    mask = encode_mask(np.ones((8, 8), bool))
    thing = {"image_id": 7, "bbox": [0, 0, 8, 8], "area": 64, "segmentation": mask}
    truth = [{**thing, "category_id": 1, "iscrowd": 0}]
    found = [{**thing, "label": 1, "score": 0.5}, {**thing, "label": 0, "score": 0.25}]
    matches = {kind: match([7, 9], truth, found, kind) for kind in ("bbox", "segm")}
    position = {7: 0, 9: 1}
    return Evidence(
        classes=("a", "é"), annotations="test.json", sha256="0" * 64, photos="data/photos",
        file_names={7: "x/é.jpg", 9: "b.jpg"}, image_ids=np.array([7, 9]),
        size_hw=np.array([[8, 8], [4, 6]]), predicted=np.array([True, False]),
        truth=to_shapes(truth, position, "category_id"), found=to_shapes(found, position, "label"),
        matches=matches,
    )  # fmt: skip


def test_evidence_written_is_read_back_the_same(tmp_path, evidence):
    path = tmp_path / "new" / "evaluation.npz"
    write_evidence(path, evidence)
    found = read_evidence(path)
    for name in ("classes", "annotations", "sha256", "photos", "file_names"):
        assert getattr(found, name) == getattr(evidence, name)
    for name in ("image_ids", "size_hw", "predicted"):
        assert np.array_equal(getattr(found, name), getattr(evidence, name))
    for shapes, others in ((found.truth, evidence.truth), (found.found, evidence.found)):
        assert shapes.counts == others.counts and len(shapes) == len(others) > 0
        for name in ("image", "label", "score", "box_xywh", "area_px", "is_crowd"):
            assert np.array_equal(getattr(shapes, name), getattr(others, name)), name
    mask = found.truth.rle(0, found.size_hw[0])
    assert decode(mask).sum() == 64 and found.truth.score.tolist() == [1.0]
    assert list(found.matches) == ["bbox", "segm"]
    for kind, matches in evidence.matches.items():
        for name, array in matches.arrays().items():
            other = getattr(found.matches[kind], name)
            assert other.dtype == array.dtype and np.array_equal(other, array), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: replace(m, det_image=m.det_image + 2), "det_image of 0 to 1 expected, got 2"),
        (lambda m: replace(m, gt_label=m.gt_label - 2), "gt_label of 0 to 1 expected, got -1"),
        (lambda m: replace(m, hit_DA=m.hit_DA[:, :3]), r"hit_DA of shape \(2, 4\) expected"),
        (lambda m: replace(m, det_score=m.det_score[:1]), "det_image of shape"),
        (lambda m: replace(m, gt_void_GA=m.gt_void_GA.astype(int)), "gt_void_GA of shape"),
    ],
)
def test_evidence_whose_arrays_do_not_fit_is_refused(tmp_path, evidence, change, said):
    broken = replace(evidence, matches={"bbox": change(evidence.matches["bbox"])})
    write_evidence(tmp_path / "e.npz", broken)
    with pytest.raises(FashionError, match=said):
        read_evidence(tmp_path / "e.npz")


def with_found(evidence, **arrays):
    """Return the evidence with other arrays of its detections."""
    arrays = {k: v if k == "counts" else np.array(v, dtype=float) for k, v in arrays.items()}
    return replace(evidence, found=replace(evidence.found, **arrays))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: replace(e, image_ids=e.image_ids[::-1]), "rising image ids"),
        (lambda e: replace(e, size_hw=e.size_hw[:1]), "rising image ids"),
        (lambda e: replace(e, size_hw=e.size_hw * 0), "at least 1 px a side .* got 0 x 0"),
        (lambda e: replace(e, size_hw=e.size_hw * 2**27), "at most 2147483647 px"),
        (lambda e: replace(e, image_ids=np.array([9, 7], np.uint64)), "rising image ids"),
        (lambda e: replace(e, image_ids=e.image_ids + 1), "equal to the file's own"),
        (lambda e: replace(e, found=replace(e.found, image=e.found.image + 2)), "found/image: 0"),
        (lambda e: replace(e, truth=replace(e.truth, label=e.truth.label + 1)), "truth/label: 0"),
        (lambda e: replace(e, found=replace(e.found, score=e.found.score[:1])), "found/score: sh"),
        (lambda e: replace(e, found=replace(e.found, counts=("abc",))), "2 run-length codes"),
        (lambda e: with_found(e, score=[0.5, np.nan]), "found/score: finite .* got nan"),
        (lambda e: with_found(e, score=[0.5, 1.5]), "found/score: .* 0 and at most 1 .* 1.5"),
        (lambda e: with_found(e, score=[0.5, -0.5]), "found/score: finite .* got -0.5"),
        (lambda e: with_found(e, area_px=[np.inf, 1]), "found/area_px: finite .* got inf"),
        (lambda e: with_found(e, area_px=[64, -1]), "found/area_px: .* at least 0 .* got -1"),
        (
            lambda e: with_found(e, box_xywh=[[0, 0, 8, 8], [0, np.nan, 8, 8]]),
            "found/box_xywh: finite .* got nan",
        ),
        (
            lambda e: with_found(e, box_xywh=[[0, 0, 8, 8], [0, -1e300, 8, 8]]),
            r"found/box_xywh: finite .* got -1e\+300",
        ),
        (lambda e: replace(e, matches={}), r"matches of 'bbox' or 'segm' expected, got \[\]"),
        (
            lambda e: replace(e, matches={"boundary": e.matches["segm"]}),
            r"matches of 'bbox' or 'segm' expected, got \['boundary'\]",
        ),
    ],
)
def test_evidence_whose_shapes_do_not_fit_is_refused(tmp_path, evidence, change, said):
    write_evidence(tmp_path / "e.npz", change(evidence))
    with pytest.raises(FashionError, match=said):
        read_evidence(tmp_path / "e.npz")


# Each makes pycocotools run for ever or read beyond the code, or is a mask of another size.
@pytest.mark.parametrize(
    "code", ["1@@@@", "\x01\x02~~~~", "ooooooo", "oooo", "", "0", "oooooo3oooooo3", "1" * 99, "T2"]
)
def test_evidence_with_a_code_that_is_no_mask_is_refused(tmp_path, evidence, code):
    good = evidence.found.counts[0]
    write_evidence(tmp_path / "e.npz", with_found(evidence, counts=(good, code)))
    with pytest.raises(FashionError, match=r"e\.npz: found/codes\[1\]: "):
        read_evidence(tmp_path / "e.npz")


def test_evidence_with_code_lengths_that_wrap_round_is_refused(tmp_path, evidence):
    write_evidence(tmp_path / "e.npz", evidence)
    arrays = dict(np.load(tmp_path / "e.npz"))
    n = arrays["found/codes"].size
    arrays["found/code_lengths"] = np.array([n + 1, 2**64 - 1], dtype=np.uint64)
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(FashionError, match="found/codes: 2 run-length codes expected"):
        read_evidence(tmp_path / "e.npz")


def crowded():
    """Two photos, with more detections of a class than count, and equal scores."""
    thing = {"bbox": [0, 0, 8, 8], "area": 64}
    truth = [{**thing, "image_id": i, "category_id": k, "iscrowd": int(i == k)}
             for i in (9, 7) for k in (1, 0, 1)]  # fmt: skip
    found = [{**thing, "image_id": i, "label": n % 2, "score": (n % 7) / 10}
             for i in (9, 7) for n in range(206 if i == 9 else 10)]  # fmt: skip
    position = {7: 0, 9: 1}
    return Evidence(
        classes=("a", "b"), annotations="x.json", sha256="0" * 64, photos=None, file_names={},
        image_ids=np.array([7, 9]), size_hw=np.array([[8, 8], [8, 8]]),
        predicted=np.ones(2, bool),
        truth=to_shapes(truth, position, "category_id"), found=to_shapes(found, position, "label"),
        matches={"bbox": match([7, 9], truth, found, "bbox")},
    )  # fmt: skip


def test_evidence_of_more_than_count_of_none_and_without_masks_is_read(tmp_path):
    evidence = crowded()
    write_evidence(tmp_path / "e.npz", evidence)
    found = read_evidence(tmp_path / "e.npz")
    assert len(found.found) == 216 and found.matches["bbox"].det_score.size == 210
    assert found.truth.counts is None
    matches = {"bbox": match([7, 9], [], [], "bbox")}
    none = to_shapes([], {}, "label")
    write_evidence(tmp_path / "e.npz", replace(evidence, truth=none, found=none, matches=matches))
    assert len(read_evidence(tmp_path / "e.npz").found) == 0


def swapped(array, i, j):
    out = array.copy()
    out[[i, j]] = out[[j, i]]
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: {"det_score": swapped(m.det_score, 0, 4)}, "then falling score expected"),
        (lambda m: {"det_label": swapped(m.det_label, 0, 9)}, "by image, then label, then"),
        (lambda m: {"det_image": m.det_image[::-1]}, "by image, then label, then"),
        (lambda m: {"det_rank": m.det_rank - 1}, "det_rank: places from 0"),
        (lambda m: {"det_score": m.det_score + 0.9}, "bbox/det_score: finite numbers"),
        (lambda m: {"det_score": m.det_score * np.nan}, "bbox/det_score: finite numbers"),
        (lambda m: {"gt_label": swapped(m.gt_label, 0, 1)}, "gt_label: instances by image"),
        (lambda m: {"gt_label": m.gt_label * 0}, "gt_label: the 6 instances of truth"),
        (lambda m: {"det_label": np.where(m.det_image == 0, 0, m.det_label),
                    "det_score": m.det_score * 0,
                    "det_rank": np.r_[np.arange(10), m.det_rank[10:]]},
         "det_label: the 216 detections of found"),
        (lambda m: {name: array[1:] for name, array in m.arrays().items() if "D" in name
                    or "det" in name} | {"det_rank": np.r_[np.arange(4), m.det_rank[5:]]},
         "det_label: the 216 detections of found, at most 100"),
    ],
)  # fmt: skip
def test_evidence_whose_matches_are_others_or_in_disorder_is_refused(tmp_path, change, said):
    evidence = crowded()
    matches = evidence.matches["bbox"]
    broken = replace(matches, **change(matches))
    write_evidence(tmp_path / "e.npz", replace(evidence, matches={"bbox": broken}))
    with pytest.raises(FashionError, match=said):
        read_evidence(tmp_path / "e.npz")


def test_evidence_with_bytes_changed_or_cut_is_read_or_refused_in_words(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    whole, rng, outcomes = path.read_bytes(), random.Random(0), set()
    for turn in range(500):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 3])):
            content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        if turn % 5 == 0:
            del content[rng.randrange(len(content)) :]
        path.write_bytes(content)
        try:
            read_evidence(path)
            outcomes.add("read")
        except FashionError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def gridded(evidence):
    """Return the evidence with a grid for each of its two detections."""
    grids = np.arange(2 * 28 * 28, dtype=np.uint64).astype(np.uint8).reshape(2, 28, 28)
    boxes = np.array([[0, 0, 8, 8], [-1, 0.5, 7, 9]], dtype=np.float32)
    found = replace(evidence.found, grids_NHW=grids, grid_box_xyxy=boxes)
    return replace(evidence, found=found, mask_threshold=0.4)


def test_evidence_with_grids_is_read_back_the_same(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    found = read_evidence(path)
    assert found.found.grids_NHW is None and found.mask_threshold is None
    assert not any("grid" in name for name in np.load(path).files)
    wanted = gridded(evidence)
    write_evidence(path, wanted)
    found = read_evidence(path)
    assert found.mask_threshold == 0.4
    for name in ("grids_NHW", "grid_box_xyxy"):
        array, other = getattr(found.found, name), getattr(wanted.found, name)
        assert array.dtype == other.dtype and np.array_equal(array, other)
    # Where the masks are left out, so are their grids.
    write_evidence(path, replace(wanted, found=replace(wanted.found, counts=None)))
    assert read_evidence(path).found.grids_NHW is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("found/grids"), "found: masks, grids and their boxes .* none of grids"),
        (lambda a: a.pop("found/grid_box_xyxy"), "none of grid_box_xyxy"),
        (lambda a: (a.pop("found/codes"), a.pop("found/code_lengths")), "none of codes"),
        (lambda a: a.update({"found/grids": a["found/grids"][:1]}), "found/grids: 2 grids of 1 to"),
        (lambda a: a.update({"found/grids": a["found/grids"].astype(np.float32)}), "as uint8"),
        (lambda a: a.update({"found/grids": a["found/grids"][:, :0]}), "1 to 256 cells a side"),
        (lambda a: a.update({"found/grids": np.zeros((2, 257, 1), np.uint8)}), "1 to 256 cells"),
        (lambda a: a.update({"found/grids": a["found/grids"][0]}), "found/grids: 2 grids"),
        (lambda a: a.update({"found/grid_box_xyxy": a["found/grid_box_xyxy"][:, :3]}), r"\(2, 4\)"),
        (
            lambda a: a.update({"found/grid_box_xyxy": a["found/grid_box_xyxy"].astype(float)}),
            "float32 expected",
        ),
        (
            lambda a: a.update({"found/grid_box_xyxy": np.full((2, 4), np.nan, np.float32)}),
            "grid_box_xyxy: finite",
        ),
        (
            lambda a: a.update({"found/grid_box_xyxy": np.full((2, 4), 1e30, np.float32)}),
            "grid_box_xyxy: finite",
        ),
    ],
)  # fmt: skip
def test_evidence_whose_grids_do_not_fit_is_refused(tmp_path, evidence, change, said):
    path = tmp_path / "e.npz"
    write_evidence(path, gridded(evidence))
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(FashionError, match=said):
        read_evidence(path)


def test_evidence_does_not_read_grids_of_instances(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    add_member(path, "truth/grids.npy", header((1 << 40,), "<f8"))  # claims 8 TiB
    assert read_evidence(path).truth.grids_NHW is None


@pytest.mark.parametrize("threshold", [0, -0.5, 1.5, float("nan"), "0.5", True, [0.5], 1])
def test_evidence_with_a_mask_threshold_that_is_none_is_refused(tmp_path, evidence, threshold):
    path = tmp_path / "e.npz"
    write_evidence(path, replace(evidence, mask_threshold=threshold))
    with pytest.raises(FashionError, match="a mask_threshold over 0 and at most 1 expected"):
        read_evidence(path)


def add_member(path, name, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr(name, content)


def header(shape, descr="|u1"):
    stream = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def test_evidence_that_unpacks_to_too_much_is_refused_before_it_does(
    tmp_path, evidence, monkeypatch
):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    add_member(path, "junk/x.npy", header((4 << 20,)) + bytes(4 << 20))
    assert read_evidence(path).classes == evidence.classes, "not read, no harm"
    monkeypatch.setattr(module, "_MOST_BYTES", 4 << 20)
    with pytest.raises(FashionError, match=r"at most 4,194,304 bytes of evidence expected, got 4"):
        read_evidence(path)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_MOST_RATIO", 100)
    with pytest.raises(FashionError, match="bytes of evidence expected"):
        read_evidence(path)


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (header((1 << 40,), "<f8"), zipfile.ZIP_DEFLATED),  # claims 8 TiB
        (header((-1, -8), "|u1") + bytes(8), zipfile.ZIP_DEFLATED),
        (header((1 << 40,), "|V0"), zipfile.ZIP_DEFLATED),
        (b"\x93NUMPY\x01\x00\x0a\x00{'descr': (", zipfile.ZIP_DEFLATED),
        (header((2,)) + bytes(2), zipfile.ZIP_LZMA),  # is unpacked without a bound
    ],
)
def test_evidence_with_an_array_that_is_not_what_it_claims_is_refused(
    tmp_path, evidence, content, compression
):
    path = tmp_path / "e.npz"
    write_evidence(path, replace(evidence, matches={"bbox": evidence.matches["bbox"]}))
    add_member(path, "segm/det_rank.npy", content, compression)
    with pytest.raises(FashionError, match="got another or a damaged file"):
        read_evidence(path)


def test_evidence_with_a_head_too_deep_or_too_long_a_number_is_refused(tmp_path, evidence):
    path = tmp_path / "e.npz"
    for text in (b"[" * 200_000, b'{"version": 2, "matches": 3}', b'{"version": ' + b"9" * 5000):
        write_evidence(path, evidence)
        arrays = {**np.load(path), "head": np.frombuffer(text, dtype=np.uint8)}
        np.savez_compressed(path, **arrays)
        with pytest.raises(FashionError, match="expected, got"):
            read_evidence(path)


def test_evidence_that_claims_a_large_array_takes_no_memory_for_it(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, replace(evidence, matches={"bbox": evidence.matches["bbox"]}))
    add_member(path, "segm/det_rank.npy", header((1 << 30,)))
    tracemalloc.start()
    try:
        with pytest.raises(FashionError, match="got another or a damaged file"):
            read_evidence(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


class Harm:
    """Would be run by a reader of pickles."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_evidence_that_is_none_is_refused_and_nothing_in_it_runs(tmp_path, evidence):
    path = tmp_path / "e.npz"
    with pytest.raises(FashionError, match="found no file"):
        read_evidence(path)
    write_evidence(path, evidence)
    whole = path.read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        array = io.BytesIO()
        np.lib.format.write_array(array, np.array([Harm()], dtype=object), allow_pickle=True)
        archive.writestr("head.npy", array.getvalue())
    contents = [b"", b"no archive", whole[: len(whole) // 2], stream.getvalue()]
    contents.append(pickle.dumps(Harm()))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(FashionError, match="got another or a damaged file"):
            read_evidence(path)


VOTE = {
    "point": {"score": 0.4, "score_of": {"é": 0.3}, "nms_iou": None, "max_count": 100},
    "views": 6,
    "members": ["a run/best.pth"],
}


def test_evidence_says_what_it_was_made_with(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    assert read_evidence(path).made_with == {}
    assert b"made_with" not in np.load(path)["head"].tobytes()
    for made_with in (VOTE, {"views": 1, "members": []}, {"point": {}}):
        write_evidence(path, replace(evidence, made_with=made_with))
        assert read_evidence(path).made_with == made_with


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        ([6], "an object of point, views, members expected, got \\[6\\]"),
        ({**VOTE, "seed": 1}, "an object of point, views, members expected"),
        ({"views": 0}, "at least 1 view expected, got 0"),
        ({"views": True}, "at least 1 view expected, got True"),
        ({"views": 1.5}, "at least 1 view expected, got 1.5"),
        ({"members": "a run"}, "a list of members' names expected, got 'a run'"),
        ({"members": [1]}, "a list of members' names expected"),
        ({"point": None}, "an operating point expected, got None"),
        ({"point": {"score": 2}}, "made_with: point: score: a number from 0 to 1 expected, got 2"),
        ({"point": {"score_of": {"sock": 0.5}}}, "names of the model's 2 classes expected"),
        ({"point": {"scores": 0.5}}, "got 'scores'"),
    ],
)
def test_evidence_made_with_what_cannot_be_is_refused(tmp_path, evidence, made_with, said):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    arrays = dict(np.load(path))
    head = {**json.loads(arrays["head"].tobytes()), "made_with": made_with}
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(FashionError, match=said):
        read_evidence(path)


def test_evidence_of_an_earlier_release_is_called_so_and_not_damaged(tmp_path, evidence):
    path = tmp_path / "e.npz"
    write_evidence(path, evidence)
    arrays = dict(np.load(path))
    del arrays["images/predicted"]
    np.savez(path, **arrays)
    with pytest.raises(FashionError, match="got an earlier release's.*--split val") as stop:
        read_evidence(path)
    assert "damaged" not in str(stop.value)
