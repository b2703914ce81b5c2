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
from fashion_mmdet.core.rle import encode_mask


@pytest.fixture
def evidence():
    mask = encode_mask(np.ones((8, 8), bool))
    thing = {"image_id": 7, "bbox": [0, 0, 8, 8], "area": 64, "segmentation": mask}
    truth = [{**thing, "category_id": 1, "iscrowd": 0}]
    found = [{**thing, "label": 1, "score": 0.5}, {**thing, "label": 0, "score": 0.25}]
    matches = {kind: match([7, 9], truth, found, kind) for kind in ("bbox", "segm")}
    return Evidence(("a", "é"), "test.json", "0" * 64, {7: "x/é.jpg", 9: "b.jpg"}, matches)


def test_evidence_written_is_read_back_the_same(tmp_path, evidence):
    path = tmp_path / "new" / "evaluation.npz"
    write_evidence(path, evidence)
    found = read_evidence(path)
    for name in ("classes", "annotations", "sha256", "file_names"):
        assert getattr(found, name) == getattr(evidence, name)
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
