"""Every operator against a slow reference written from its definition, and its gradient.

The operators are called as mmdet calls them, through ``mmcv.ops``, so that the argument orders
and the tensors written in place are those of mmcv's own code.
"""

from __future__ import annotations

import ast
import inspect
import math
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_mmdet.compat import operators_finder

pytestmark = pytest.mark.mm


@pytest.fixture(autouse=True)
def stand_in() -> Any:
    """The module under test; nothing to test where a compiled mmcv stands in its place."""
    import mmcv._ext
    import torch

    if operators_finder.backend() != "torchvision":
        pytest.skip("a compiled mmcv is installed")
    torch.manual_seed(0)
    return mmcv._ext


# ---------------------------------------------------------------- the module


def test_extension_exists_for_those_who_ask() -> None:
    from mmcv.utils.ext_loader import check_ops_exist

    assert pkgutil.find_loader("mmcv._ext") is not None
    assert check_ops_exist()


def test_extension_supported_operators_take_the_arguments_that_mmcv_passes(stand_in: Any) -> None:
    import mmcv.ops

    checked = set()
    for path in Path(mmcv.ops.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            name = _called_operator(call)
            starred = name and any(isinstance(a, ast.Starred) for a in call.args)
            if name in operators_finder.SUPPORTED_OPERATORS and not starred:
                signature = inspect.signature(getattr(stand_in, name))
                signature.bind(*call.args, **{k.arg: None for k in call.keywords})
                checked.add(name)
    assert checked == set(operators_finder.SUPPORTED_OPERATORS)


def _called_operator(node: ast.AST) -> str | None:
    """Return ``x`` of a call ``ext_module.x(...)``."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    owner = node.func.value
    return node.func.attr if isinstance(owner, ast.Name) and owner.id == "ext_module" else None


def test_extension_unsupported_operator_called_through_mmcv_raises_naming_it() -> None:
    import torch
    from mmcv.ops import nms_match

    with pytest.raises(operators_finder.OperatorMissingError, match="'nms_match'"):
        nms_match(torch.rand(3, 5), 0.5)


def test_extension_dunder_name_is_absent(stand_in: Any) -> None:
    assert not hasattr(stand_in, "__path__")
    assert hasattr(stand_in, "any_public_name")


def test_extension_versions_are_words_for_an_environment_report() -> None:
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version

    assert "torchvision" in get_compiler_version()
    assert isinstance(get_compiling_cuda_version(), str)


def _run_in(folder: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FASHION_COMPAT")}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_extension_fresh_interpreter_imports_mmdet_models(tmp_path: Path) -> None:
    assert _run_in(tmp_path, "-c", "import mmdet.models; print('imported')") == "imported"


@pytest.mark.slow
def test_extension_spawned_process_has_the_operators(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "def work(queue):\n"
        "    import mmcv.ops, numpy as np\n"
        "    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9]], dtype=np.float32)\n"
        "    queue.put(mmcv.ops.nms(boxes, np.array([.1, .2], np.float32), 0.5)[1].tolist())\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=work, args=(queue,))\n"
        "    process.start(); print(queue.get(timeout=120)); process.join()\n"
    )
    assert _run_in(tmp_path, str(script)) == "[1]"


# ---------------------------------------------------------------- nms


def _iou(a: Any, b: Any, offset: int) -> float:
    """IoU of two xyxy boxes in single precision; 0 where it is 0 / 0."""
    one = np.float32(1)
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + offset * one)
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + offset * one)
    areas = [(c[2] - c[0] + offset * one) * (c[3] - c[1] + offset * one) for c in (a, b)]
    union = areas[0] + areas[1] - width * height
    return float(width * height / union) if union else 0.0


def _nms_reference(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list:
    kept: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(_iou(boxes[candidate], boxes[k], offset) <= threshold for k in kept):
            kept.append(candidate)
    return kept


def _random_boxes(count: int, seed: int, size: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (count, 2))
    return np.hstack([corner, corner + rng.uniform(1, size, (count, 2))]).astype(np.float32)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_nms_random_boxes_equal_reference(threshold: float, offset: int) -> None:
    from mmcv.ops import nms

    boxes = _random_boxes(60, seed=1)
    scores = np.random.default_rng(2).random(60).astype(np.float32)
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    expected = _nms_reference(boxes, scores, threshold, offset)
    assert kept.tolist() == expected
    assert 1 < len(expected) < 60
    np.testing.assert_array_equal(dets, np.column_stack([boxes, scores])[expected])


def test_nms_offset_one_changes_who_is_kept() -> None:
    from mmcv.ops import nms

    # IoU 2 / 6 with width x2 - x1, 6 / 12 with x2 - x1 + 1.
    boxes = np.array([[0, 0, 2, 2], [0, 1, 2, 3]], dtype=np.float32)
    scores = np.array([0.9, 0.8], dtype=np.float32)
    assert nms(boxes, scores, 0.4, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.4, offset=1)[1].tolist() == [0]


def test_nms_iou_equal_to_threshold_in_single_precision_is_kept() -> None:
    from mmcv.ops import nms

    # IoU 1 / 10, which in float32 is a little more than 0.1 in double precision.
    boxes = np.array([[0, 0, 10, 1], [0, 0, 1, 1]], dtype=np.float32)
    assert float(np.float32(0.1)) > 0.1
    assert nms(boxes, np.array([0.9, 0.8], np.float32), 0.1)[1].tolist() == [0, 1]


def test_nms_equal_scores_keep_input_order() -> None:
    from mmcv.ops import nms

    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [20, 20, 29, 29]], dtype=np.float32)
    assert nms(boxes, np.full(3, 0.5, np.float32), 0.5)[1].tolist() == [0, 2]


def test_nms_score_threshold_and_max_num_are_honoured() -> None:
    from mmcv.ops import nms

    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], dtype=np.float32)
    scores = np.array([0.1, 0.6, 0.9], dtype=np.float32)
    assert nms(boxes, scores, 0.5, score_threshold=0.5)[1].tolist() == [2, 1]
    assert nms(boxes, scores, 0.5, score_threshold=0.5, max_num=1)[1].tolist() == [2]


def test_nms_no_boxes_keeps_none() -> None:
    import torch
    from mmcv.ops import nms

    for offset in (0, 1):
        dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=offset)
        assert dets.shape == (0, 5)
        assert kept.dtype == torch.int64 and len(kept) == 0


def test_nms_half_precision_and_strided_boxes_are_computed_in_float32() -> None:
    import torch
    from mmcv.ops import nms

    dets = torch.from_numpy(np.column_stack([_random_boxes(40, 3), np.random.rand(40)]))
    for dtype in (torch.bfloat16, torch.float16):
        low = dets.to(dtype)
        boxes, scores = low[:, :4], low[:, 4]
        expected = nms(boxes.float().contiguous(), scores.float(), 0.4)[1]
        kept_dets, kept = nms(boxes, scores, 0.4)
        assert kept.tolist() == expected.tolist()
        assert kept_dets.dtype == dtype


def test_batched_nms_other_class_does_not_suppress() -> None:
    import torch
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 3)
    scores, labels = torch.tensor([0.7, 0.9, 0.8]), torch.tensor([0, 0, 1])
    dets, kept = batched_nms(boxes, scores, labels, {"type": "nms", "iou_threshold": 0.5})
    assert kept.tolist() == [1, 2]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.8])


# ---------------------------------------------------------------- soft-nms


def _soft_nms_reference(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, sigma: float, low: float, method: str,
    offset: int,
) -> tuple[list[int], list[float]]:  # fmt: skip
    """mmcv's procedure on Python lists: swap the best to the front, overwrite the dropped."""
    pool = [[index, float(score)] for index, score in enumerate(scores)]
    first = 0
    while first < len(pool):
        best = max(range(first, len(pool)), key=lambda i: (pool[i][1], -i))
        pool[first], pool[best] = pool[best], pool[first]
        place = first + 1
        while place < len(pool):
            iou = _iou(boxes[pool[first][0]], boxes[pool[place][0]], offset)
            if method == "gaussian":
                pool[place][1] *= math.exp(-iou * iou / sigma)
            elif iou >= threshold:
                pool[place][1] *= 0.0 if method == "naive" else 1 - iou
            if pool[place][1] < low:
                last = pool.pop()
                if place < len(pool):
                    pool[place] = last
                continue
            place += 1
        first += 1
    return [index for index, _ in pool], [score for _, score in pool]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms_random_boxes_with_ties_equal_reference(method: str, offset: int) -> None:
    from mmcv.ops import soft_nms

    boxes = np.round(_random_boxes(50, seed=4))
    scores = np.random.default_rng(5).choice([0.2, 0.5, 0.9], 50).astype(np.float32)
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    expected, lowered = _soft_nms_reference(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    assert kept.tolist() == expected
    assert 1 < len(expected) < 50
    np.testing.assert_array_equal(dets[:, :4], boxes[expected])
    np.testing.assert_allclose(dets[:, 4], lowered, rtol=1e-5)


def test_soft_nms_linear_two_boxes_lowers_by_hand_computed_factor() -> None:
    from mmcv.ops import soft_nms

    boxes = np.array([[0, 0, 2, 2], [0, 1, 2, 3]], dtype=np.float32)  # IoU 1/3
    dets, kept = soft_nms(boxes, np.array([0.6, 0.9], np.float32), 0.3, method="linear")
    assert kept.tolist() == [1, 0]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.6 * 2 / 3])


def test_soft_nms_inputs_are_left_unchanged() -> None:
    import torch
    from mmcv.ops import soft_nms

    boxes, scores = torch.from_numpy(_random_boxes(20, 6)), torch.rand(20)
    before = scores.clone()
    soft_nms(boxes, scores, 0.1)
    assert torch.equal(scores, before)


def test_soft_nms_no_boxes_or_bf16_work() -> None:
    import torch
    from mmcv.ops import soft_nms

    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0,)
    boxes, scores = torch.from_numpy(_random_boxes(10, 7)).bfloat16(), torch.rand(10).bfloat16()
    dets, kept = soft_nms(boxes, scores)
    expected = soft_nms(boxes.float(), scores.float())
    assert dets.dtype == torch.bfloat16
    assert kept.tolist() == expected[1].tolist()


# ---------------------------------------------------------------- roi_align, roi_pool


def _bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """Sample at pixel coordinates; clamped within one pixel of the border, 0 beyond (RoIAlign)."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = plane[top, left] * (1 - fx) + plane[top, right] * fx
    lower = plane[bottom, left] * (1 - fx) + plane[bottom, right] * fx
    return upper * (1 - fy) + lower * fy


def _roi_align_reference(
    features: np.ndarray, rois: np.ndarray, size: tuple, scale: float, ratio: int, aligned: bool
) -> np.ndarray:
    out = np.zeros((len(rois), features.shape[1], *size))
    for k, (image, *box) in enumerate(rois):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0.0) for c in box)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        bin_h, bin_w = height / size[0], width / size[1]
        down = ratio if ratio > 0 else math.ceil(bin_h)
        across = ratio if ratio > 0 else math.ceil(bin_w)
        for c, i, j in np.ndindex(out.shape[1:]):
            samples = [
                _bilinear(
                    features[int(image), c],
                    y1 + (i + (a + 0.5) / down) * bin_h,
                    x1 + (j + (b + 0.5) / across) * bin_w,
                )
                for a in range(down)
                for b in range(across)
            ]
            out[k, c, i, j] = sum(samples) / max(len(samples), 1)
    return out


ROIS = np.array(
    [
        [0, 1.0, 2.0, 12.5, 17.0],
        [1, 3.3, 0.2, 9.1, 8.8],
        [1, -6.0, -5.0, 30.0, 26.0],  # beyond the map
        [0, 7.0, 7.0, 7.0, 7.0],  # empty
        [1, 10.0, 4.0, 10.6, 4.4],  # smaller than a feature
    ]
)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_equals_reference(ratio: int, aligned: bool) -> None:
    import torch
    from mmcv.ops import roi_align

    features = torch.randn(2, 3, 9, 8)
    rois = torch.from_numpy(ROIS).float()
    pooled = roi_align(features, rois, (2, 3), 0.5, ratio, "avg", aligned)
    expected = _roi_align_reference(features.numpy(), ROIS, (2, 3), 0.5, ratio, aligned)
    np.testing.assert_allclose(pooled.numpy(), expected, atol=2e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_gradient_equals_finite_differences(ratio: int, aligned: bool) -> None:
    import torch
    from mmcv.ops import roi_align

    features = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    rois = torch.from_numpy(ROIS)
    assert torch.autograd.gradcheck(
        lambda f: roi_align(f, rois, (2, 2), 0.5, ratio, "avg", aligned), features
    )


def test_roi_align_channels_last_and_strided_gradient_equal_contiguous() -> None:
    import torch
    from mmcv.ops import roi_align

    rois = torch.from_numpy(ROIS).float()
    plain = torch.randn(2, 4, 9, 8, requires_grad=True)
    last = plain.detach().to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(2, 2, 4, 5).permute(3, 2, 0, 1)
    results = []
    for features in (plain, last):
        pooled = roi_align(features, rois, 2, 0.5, 0, "avg", True)
        pooled.backward(grad)
        results.append((pooled.detach(), features.grad))
    torch.testing.assert_close(results[0], results[1])


def test_roi_align_no_rois_gives_empty_output_and_zero_gradient() -> None:
    import torch
    from mmcv.ops import roi_align

    features = torch.randn(1, 3, 5, 5, requires_grad=True)
    pooled = roi_align(features, torch.zeros(0, 5), (7, 7), 1.0, 0, "avg", True)
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert not features.grad.any()


def test_roi_align_maximum_is_refused_by_name() -> None:
    import torch
    from mmcv.ops import roi_align

    with pytest.raises(operators_finder.OperatorMissingError, match="roi_align.*'max'"):
        roi_align(torch.randn(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, "max", True)


@pytest.mark.parametrize("dtype_name", ["bfloat16", "float16"])
def test_roi_align_half_precision_is_float32_rounded_once(dtype_name: str) -> None:
    import torch
    from mmcv.ops import roi_align

    dtype = getattr(torch, dtype_name)
    rois = torch.from_numpy(ROIS).float()
    low = torch.randn(2, 3, 9, 8).to(dtype).requires_grad_()
    wide = low.detach().float().requires_grad_()
    pooled, expected = (roi_align(f, rois, 2, 0.5, 2, "avg", True) for f in (low, wide))
    assert pooled.dtype == dtype
    assert torch.equal(pooled, expected.to(dtype))
    grad = torch.randn(expected.shape).to(dtype)
    pooled.backward(grad)
    expected.backward(grad.float())
    assert torch.equal(low.grad, wide.grad.to(dtype))


def _roi_pool_reference(
    features: np.ndarray, rois: np.ndarray, size: tuple, scale: float
) -> np.ndarray:
    height, width = features.shape[2:]
    out = np.zeros((len(rois), features.shape[1], *size))
    for k, (image, x1, y1, x2, y2) in enumerate(rois):
        left, top = x1 * scale, y1 * scale
        bin_w = ((x2 + 1) * scale - left) / size[1]
        bin_h = ((y2 + 1) * scale - top) / size[0]
        for c, i, j in np.ndindex(out.shape[1:]):
            rows = slice(
                min(max(math.floor(top + i * bin_h), 0), height),
                min(max(math.ceil(top + (i + 1) * bin_h), 0), height),
            )
            columns = slice(
                min(max(math.floor(left + j * bin_w), 0), width),
                min(max(math.ceil(left + (j + 1) * bin_w), 0), width),
            )
            region = features[int(image), c, rows, columns]
            out[k, c, i, j] = region.max() if region.size and bin_w > 0 and bin_h > 0 else 0.0
    return out


def test_roi_pool_equals_reference_and_finite_differences() -> None:
    import torch
    from mmcv.ops import roi_pool

    malformed = [[0, 8.6, 8.6, 7.0, 7.0], [1, 40.0, 40.0, 60.0, 60.0]]
    boxes = np.vstack([ROIS, malformed])
    rois = torch.from_numpy(boxes)
    features = torch.randn(2, 2, 9, 8, dtype=torch.float64, requires_grad=True)
    pooled = roi_pool(features, rois, (2, 3), 0.5)
    expected = _roi_pool_reference(features.detach().numpy(), boxes, (2, 3), 0.5)
    np.testing.assert_array_equal(pooled.detach().numpy(), expected)
    assert torch.autograd.gradcheck(lambda f: roi_pool(f, rois, (2, 3), 0.5), features)


def test_roi_pool_no_rois_or_bf16_work() -> None:
    import torch
    from mmcv.ops import roi_pool

    features = torch.randn(1, 2, 5, 5, requires_grad=True)
    pooled = roi_pool(features, torch.zeros(0, 5), (3, 3), 1.0)
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not features.grad.any()
    low = features.detach().bfloat16()
    rois = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    assert torch.equal(roi_pool(low, rois, 2, 1.0).float(), roi_pool(low.float(), rois, 2, 1.0))


# ---------------------------------------------------------------- deformable convolution


def _zero_padded_bilinear(plane: np.ndarray, y: float, x: float) -> float:
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


STRIDE, PADDING, DILATION = (2, 1), (1, 2), (1, 2)


def _deform_conv_reference(
    features: np.ndarray, offset: np.ndarray, mask: np.ndarray, weight: np.ndarray, groups: int,
    offset_groups: int,
) -> np.ndarray:  # fmt: skip
    outputs, per_group, kernel_h, kernel_w = weight.shape
    out = np.zeros((len(features), outputs, *offset.shape[2:]))
    points = kernel_h * kernel_w
    for n, o, i, j in np.ndindex(out.shape):
        for c_in_group, a, b in np.ndindex(weight.shape[1:]):
            channel = o // (outputs // groups) * per_group + c_in_group
            group = channel // (features.shape[1] // offset_groups)
            point = group * points + a * kernel_w + b
            y = i * STRIDE[0] - PADDING[0] + a * DILATION[0] + offset[n, 2 * point, i, j]
            x = j * STRIDE[1] - PADDING[1] + b * DILATION[1] + offset[n, 2 * point + 1, i, j]
            sample = _zero_padded_bilinear(features[n, channel], y, x)
            out[n, o, i, j] += weight[o, c_in_group, a, b] * sample * mask[n, point, i, j]
    return out


def _deform_inputs(batch: int = 2, size_hw: tuple = (6, 5)) -> dict[str, Any]:
    """Two groups, two groups of offsets, a 3 x 2 kernel, offsets of a few features."""
    import torch

    kernel = (3, 2)
    out_hw = [
        (size_hw[d] + 2 * PADDING[d] - DILATION[d] * (kernel[d] - 1) - 1) // STRIDE[d] + 1
        for d in range(2)
    ]
    options = {"dtype": torch.float64}
    points = 2 * math.prod(kernel)
    inputs = {
        "input": torch.randn(batch, 4, *size_hw, **options),
        "offset": torch.randn(batch, 2 * points, *out_hw, **options) * 1.5,
        "mask": torch.rand(batch, points, *out_hw, **options),
        "weight": torch.randn(6, 2, *kernel, **options),
        "bias": torch.randn(6, **options),
    }
    return {name: tensor.requires_grad_() for name, tensor in inputs.items()}


GEOMETRY = (STRIDE, PADDING, DILATION, 2, 2)


def test_deform_conv_groups_and_uneven_geometry_equal_reference() -> None:
    from mmcv.ops import deform_conv2d

    inputs = _deform_inputs()
    x, offset, mask, weight, _ = inputs.values()
    out = deform_conv2d(x, offset, weight, *GEOMETRY)
    arrays = [t.detach().numpy() for t in (x, offset, mask * 0 + 1, weight)]
    np.testing.assert_allclose(out.detach().numpy(), _deform_conv_reference(*arrays, 2, 2))


def test_deform_conv_gradients_equal_finite_differences() -> None:
    import torch
    from mmcv.ops import deform_conv2d

    x, offset, _, weight, _ = _deform_inputs(1, (4, 3)).values()
    assert torch.autograd.gradcheck(
        lambda x, offset, weight: deform_conv2d(x, offset, weight, *GEOMETRY), (x, offset, weight)
    )


def test_deform_conv_weight_gradient_belongs_to_the_output_gradient_given(stand_in: Any) -> None:
    import torch
    from mmcv.ops import deform_conv2d

    x, offset, _, weight, _ = (t.detach() for t in _deform_inputs().values())
    weight.requires_grad_()
    out = deform_conv2d(x, offset, weight, *GEOMETRY)
    earlier, given = torch.randn_like(out), torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, weight, given)

    scratch, results = torch.empty(0), torch.zeros_like(weight.detach())
    geometry = (2, 3, *STRIDE[::-1], *PADDING[::-1], *DILATION[::-1], 2, 2)
    grads = torch.zeros_like(x), torch.zeros_like(offset)
    stand_in.deform_conv_backward_input(
        x, offset, earlier, *grads, weight.detach(), scratch, *geometry, 1
    )
    stand_in.deform_conv_backward_parameters(
        x, offset, given, results, scratch, scratch, *geometry, 1, 1
    )
    torch.testing.assert_close(results, expected)


def test_deform_conv_zero_offsets_is_a_convolution() -> None:
    import torch
    from mmcv.ops import deform_conv2d

    x, offset, _, weight, _ = (t.detach() for t in _deform_inputs().values())
    out = deform_conv2d(x, offset * 0, weight, *GEOMETRY)
    expected = torch.nn.functional.conv2d(x, weight, None, STRIDE, PADDING, DILATION, 2)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_deform_conv_equals_reference_and_finite_differences(with_bias: bool) -> None:
    import torch
    from mmcv.ops import modulated_deform_conv2d

    x, offset, mask, weight, bias = _deform_inputs().values()
    out = modulated_deform_conv2d(x, offset, mask, weight, bias if with_bias else None, *GEOMETRY)
    arrays = [t.detach().numpy() for t in (x, offset, mask, weight)]
    expected = _deform_conv_reference(*arrays, 2, 2)
    if with_bias:
        expected += bias.detach().numpy()[:, None, None]
    np.testing.assert_allclose(out.detach().numpy(), expected)

    x, offset, mask, weight, bias = _deform_inputs(1, (4, 3)).values()
    inputs = (x, offset, mask, weight, bias) if with_bias else (x, offset, mask, weight, None)
    assert torch.autograd.gradcheck(lambda *i: modulated_deform_conv2d(*i, *GEOMETRY), inputs)


def test_deform_convs_bf16_are_float32_rounded_once() -> None:
    import torch
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    low = [t.detach().bfloat16().requires_grad_() for t in _deform_inputs().values()]
    wide = [t.detach().float().requires_grad_() for t in low]
    for x, offset, mask, weight, bias in (low, wide):
        first = deform_conv2d(x, offset, weight, *GEOMETRY)
        second = modulated_deform_conv2d(x, offset, mask, weight, bias, *GEOMETRY)
        (first.sum() + second.sum()).backward()
        if x is low[0]:
            results = first, second
    assert torch.equal(results[0], first.bfloat16())
    assert torch.equal(results[1], second.bfloat16())
    for a, b in zip(low, wide, strict=True):
        assert a.grad.dtype == torch.bfloat16
        torch.testing.assert_close(a.grad.float(), b.grad, rtol=2e-2, atol=2e-2)


# ---------------------------------------------------------------- focal loss


def _focal_reference(logits: Any, targets: Any, weight: Any, gamma: float, alpha: float) -> Any:
    """Focal loss from probabilities, as autograd-able torch of plain Python loops."""
    import torch

    rows = []
    for logit, target in zip(logits, targets.tolist(), strict=True):
        row = []
        for label, x in enumerate(logit):
            p = 1 / (1 + torch.exp(-x))
            if label == target:
                loss = -alpha * (1 - p) ** gamma * torch.log(p)
            else:
                loss = -(1 - alpha) * p**gamma * torch.log(1 - p)
            row.append(loss if target == len(logit) else loss * weight[target])
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_sigmoid_focal_loss_equals_reference_and_its_autograd(
    reduction: str, weighted: bool
) -> None:
    import torch
    from mmcv.ops import sigmoid_focal_loss

    logits = (torch.randn(5, 3, dtype=torch.float64) * 3).requires_grad_()
    targets = torch.tensor([0, 2, 3, 1, 3])  # 3 is background
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64) if weighted else None
    factors = weight if weighted else torch.ones(3, dtype=torch.float64)

    def expected_loss(x: Any) -> Any:
        loss = _focal_reference(x, targets, factors, 2.5, 0.3)
        # mmcv's mean is over the rows.
        return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / len(x)}[reduction]

    def loss(x: Any) -> Any:
        return sigmoid_focal_loss(x, targets, 2.5, 0.3, weight, reduction)

    torch.testing.assert_close(loss(logits), expected_loss(logits))
    if reduction == "none":
        # mmcv multiplies by the incoming gradient entry by entry.
        incoming = torch.randn(5, 3, dtype=torch.float64)
        gradients = [
            torch.autograd.grad(f(logits), logits, incoming) for f in (loss, expected_loss)
        ]
        torch.testing.assert_close(*gradients)
    assert torch.autograd.gradcheck(loss, logits)


def test_sigmoid_focal_loss_extreme_logits_and_bf16_stay_finite() -> None:
    import torch
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, "none")
    assert loss[0].tolist() == pytest.approx([0.75 * 200, 0.25 * 200])
    loss.sum().backward()
    assert torch.isfinite(logits.grad).all()

    low = torch.randn(4, 3).bfloat16()
    targets = torch.tensor([0, 1, 2, 3])
    result = sigmoid_focal_loss(low, targets, 2.0, 0.25, None, "none")
    expected = sigmoid_focal_loss(low.float(), targets, 2.0, 0.25, None, "none")
    assert torch.equal(result, expected.bfloat16())


def test_sigmoid_focal_loss_no_rows_sums_to_zero() -> None:
    import torch
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.zeros(0, 3, requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0 and logits.grad.shape == (0, 3)


# ---------------------------------------------------------------- deformable attention


def _attention_inputs(dtype_name: str = "float64") -> tuple[Any, ...]:
    """Two images, two heads of three channels, levels of 4 x 3 and 2 x 2; some points outside."""
    import torch

    dtype = getattr(torch, dtype_name)
    shapes = torch.tensor([[4, 3], [2, 2]])
    starts = torch.tensor([0, 12])
    value = torch.randn(2, 16, 2, 3).to(dtype).requires_grad_()
    locations = (torch.rand(2, 5, 2, 2, 3, 2) * 1.4 - 0.2).to(dtype).requires_grad_()
    weights = torch.rand(2, 5, 2, 2, 3).to(dtype).requires_grad_()
    return value, shapes, starts, locations, weights


def _attention_reference(value: Any, shapes: Any, starts: Any, locations: Any, weights: Any) -> Any:
    batch, queries, heads, levels, points = weights.shape
    out = np.zeros((batch, queries, heads, value.shape[3]))
    for n, q, h, level, p in np.ndindex(weights.shape):
        height, width = shapes[level]
        map_hwc = value[n, starts[level] : starts[level] + height * width, h]
        x, y = locations[n, q, h, level, p] * (width, height) - 0.5
        for c in range(value.shape[3]):
            plane = map_hwc[:, c].reshape(height, width)
            out[n, q, h, c] += weights[n, q, h, level, p] * _zero_padded_bilinear(plane, y, x)
    return out.reshape(batch, queries, -1)


def test_ms_deform_attn_equals_reference() -> None:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    inputs = _attention_inputs()
    out = MultiScaleDeformableAttnFunction.apply(*inputs, 64)
    expected = _attention_reference(*(t.detach().numpy() for t in inputs))
    np.testing.assert_allclose(out.detach().numpy(), expected)


def test_ms_deform_attn_gradients_equal_finite_differences() -> None:
    import torch
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    value, shapes, starts, locations, weights = _attention_inputs()
    assert torch.autograd.gradcheck(
        lambda v, loc, w: MultiScaleDeformableAttnFunction.apply(v, shapes, starts, loc, w, 64),
        (value, locations, weights),
    )


def test_ms_deform_attn_bf16_is_float32_rounded_once() -> None:
    import torch
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    low = _attention_inputs("bfloat16")
    wide = [t.detach().float() if t.is_floating_point() else t for t in low]
    out = MultiScaleDeformableAttnFunction.apply(*low, 64)
    assert torch.equal(out, MultiScaleDeformableAttnFunction.apply(*wide, 64).bfloat16())
    out.sum().backward()
    assert all(low[i].grad.dtype == torch.bfloat16 for i in (0, 3, 4))


# ---------------------------------------------------------------- autocast


def test_operators_under_bf16_autocast_are_close_to_float32() -> None:
    import torch
    from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack, RoIAlign

    model = torch.nn.ModuleList(
        [
            torch.nn.Conv2d(3, 8, 3, padding=1),
            DeformConv2dPack(8, 8, 3, padding=1),
            ModulatedDeformConv2dPack(8, 8, 3, padding=1),
        ]
    )
    for module in model[1:]:
        torch.nn.init.normal_(module.conv_offset.weight, std=0.01)
    align = RoIAlign(3, 0.5, 0)
    images, rois = torch.randn(2, 3, 12, 12), torch.from_numpy(ROIS).float()
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            features = images
            for module in model:
                features = module(features)
            pooled = align(features, rois)
        assert pooled.dtype == (torch.bfloat16 if enabled else torch.float32)
        model.zero_grad()
        pooled.float().square().mean().backward()
        results.append([pooled.detach().float(), *(p.grad.clone() for p in model.parameters())])
    for exact, mixed in zip(*results, strict=True):
        error, size = torch.linalg.vector_norm(mixed - exact), torch.linalg.vector_norm(exact)
        assert error <= 0.05 * size
