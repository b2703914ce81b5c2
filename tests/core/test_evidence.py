"""What an evaluation leaves: read back as written, and refused where it is damaged or foreign."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

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
        size_hw=np.array([[8, 8], [4, 6]]), truth=to_shapes(truth, position, "category_id"),
        found=to_shapes(found, position, "label"), matches=matches,
    )  # fmt: skip


def test_evidence_written_is_read_back_the_same(tmp_path, evidence):
    path = tmp_path / "new" / "evaluation.npz"
    write_evidence(path, evidence)
    found = read_evidence(path)
    for name in ("classes", "annotations", "sha256", "photos", "file_names"):
        assert getattr(found, name) == getattr(evidence, name)
    for name in ("image_ids", "size_hw"):
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: replace(e, image_ids=e.image_ids[::-1]), "rising image ids"),
        (lambda e: replace(e, size_hw=e.size_hw[:1]), "rising image ids"),
        (lambda e: replace(e, size_hw=e.size_hw * 0), "rising image ids"),
        (lambda e: replace(e, image_ids=e.image_ids + 1), "equal to the file's own"),
        (lambda e: replace(e, found=replace(e.found, image=e.found.image + 2)), "found/image: 0"),
        (lambda e: replace(e, truth=replace(e.truth, label=e.truth.label + 1)), "truth/label: 0"),
        (lambda e: replace(e, found=replace(e.found, score=e.found.score[:1])), "found/score: sh"),
        (lambda e: replace(e, found=replace(e.found, counts=("abc",))), "2 run-length codes"),
    ],
)
def test_evidence_whose_shapes_do_not_fit_is_refused(tmp_path, evidence, change, said):
    write_evidence(tmp_path / "e.npz", change(evidence))
    with pytest.raises(FashionError, match=said):
        read_evidence(tmp_path / "e.npz")


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
