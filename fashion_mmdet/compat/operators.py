"""``mmcv._ext`` made of torch and torchvision: boxes, regions of interest, focal loss.

Each function has the name, the argument names and the argument order by which mmcv 2.1's Python
code (``mmcv/ops/*.py``) calls its compiled extension, and writes into the output tensors it is
handed, as that extension does. One code path serves CPU and CUDA. float16 and bfloat16 inputs are
computed in float32 (torchvision's CPU kernels have nothing smaller) and written back in the
output's dtype, so autocast works on either device.

The operators of deformable convolution and attention are in
:mod:`fashion_mmdet.compat.operators_deform`.
"""

from __future__ import annotations

import ctypes

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .operators_finder import OperatorMissingError

NAIVE, GAUSSIAN = 0, 2  # soft_nms's methods, by mmcv's numbers
AVERAGE = 1  # roi_align's pool_mode, by mmcv's number


def wide(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return ``tensor`` in ``dtype``, by default in its own if that is float64, else float32."""
    return tensor.to(dtype or (torch.float64 if tensor.dtype == torch.float64 else torch.float32))


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices (int64) that greedy suppression keeps, by descending score.

    A box goes when its IoU with a kept one is greater than ``iou_threshold``. Equal scores keep
    their input order.

    Args:
        boxes: (N, 4) xyxy, pixels.
        scores: (N,).
        iou_threshold: In [0, 1].
        offset: 0, or 1 where a box holds its last pixel and its width is ``x2 - x1 + 1``.
    """
    boxes = wide(boxes)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    # mmcv holds the threshold in single precision; torchvision compares in double, where an IoU
    # of exactly float32(0.1) would exceed 0.1.
    threshold = ctypes.c_float(iou_threshold).value
    return torch.ops.torchvision.nms(boxes, wide(scores, boxes.dtype), threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the average of bilinear samples in each bin into ``output`` (K, C, height, width).

    Args:
        input: (N, C, H, W) features.
        rois: (K, 5): index into N, then xyxy in pixels of the image.
        output: Written in place.
        argmax_y: Used by pooling by maximum only.
        argmax_x: Used by pooling by maximum only.
        aligned_height: Bins down.
        aligned_width: Bins across.
        spatial_scale: Features per pixel of the image.
        sampling_ratio: Samples per bin and axis; 0 or less for as many as the bin has features.
        pool_mode: 1, average. mmcv's 0, maximum, is not supported.
        aligned: Whether pixel centres lie at half-integers (``-0.5`` after scaling).

    Raises:
        NotImplementedError: ``pool_mode`` is 0.
    """
    _require_average(pool_mode)
    features = wide(input)
    output.copy_(
        torch.ops.torchvision.roi_align(
            features,
            wide(rois, features.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward`'s ``input`` into ``grad_input``."""
    _require_average(pool_mode)
    grad = wide(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            wide(rois, grad.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _require_average(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise OperatorMissingError(
            "mmcv operator 'roi_align': expected pool_mode='avg', got 'max'. Use 'avg', or install "
            "a compiled mmcv 2.1."
        )


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write each bin's maximum into ``output`` and its place ``y * W + x`` into ``argmax``.

    mmcv does not round a region to whole features as torchvision does: bin ``i`` of a side that
    starts at ``x1`` and has bins of ``b`` features covers the features from ``floor(x1 + i * b)``
    up to, not including, ``ceil(x1 + (i + 1) * b)``, cut to the map. So each bin is handed to
    torchvision as a region of its own with one bin. An empty bin gives 0 and the place -1.

    Args:
        input: (N, C, H, W) features.
        rois: (K, 5): index into N, then xyxy in pixels of the image, last pixel included.
        output: (K, C, pooled_height, pooled_width), written in place.
        argmax: The same shape, int32, written in place.
        pooled_height: Bins down.
        pooled_width: Bins across.
        spatial_scale: Features per pixel of the image.
    """
    features = wide(input)
    regions = wide(rois, features.dtype)
    starts = regions[:, 1:3] * spatial_scale
    ends = (regions[:, 3:5] + 1) * spatial_scale
    height, width = features.shape[2:]
    x1, x2 = _bin_edges(starts[:, 0], ends[:, 0], pooled_width, width)
    y1, y2 = _bin_edges(starts[:, 1], ends[:, 1], pooled_height, height)

    grid = (rois.shape[0], pooled_height, pooled_width)
    edges = (x1[:, None, :], y1[:, :, None], x2[:, None, :] - 1, y2[:, :, None] - 1)
    bins = torch.stack([e.expand(grid) for e in (regions[:, :1, None], *edges)], dim=-1)
    values, places = torch.ops.torchvision.roi_pool(features, bins.reshape(-1, 5), 1.0, 1, 1)

    def as_output(per_bin: Tensor) -> Tensor:
        return per_bin.reshape(*grid, features.shape[1]).permute(0, 3, 1, 2)

    malformed = (ends <= starts).any(dim=1)
    empty = (x2 <= x1)[:, None, :] | (y2 <= y1)[:, :, None] | malformed[:, None, None]
    output.copy_(as_output(values).masked_fill(empty[:, None], 0))
    argmax.copy_(as_output(places).masked_fill(empty[:, None], -1))


def _bin_edges(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the first feature of every bin along one axis, and the one after its last: (K, bins).

    Args:
        start: (K,) where the regions start, in features.
        end: (K,) where they end.
        bins: Bins along the axis.
        size: Features along the axis; edges are cut to ``0..size``.
    """
    step = ((end - start) / bins)[:, None]
    index = torch.arange(bins, device=start.device)
    first = (index * step + start[:, None]).floor().clamp(0, size)
    after = ((index + 1) * step + start[:, None]).ceil().clamp(0, size)
    return first, after


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the gradient of :func:`roi_pool_forward`'s ``input`` into ``grad_input``."""
    grad = wide(grad_output)
    grad_input.copy_(
        torch.ops.torchvision._roi_pool_backward(
            grad,
            wide(rois, grad.dtype),
            argmax,
            spatial_scale,
            pooled_height,
            pooled_width,
            *grad_input.shape,
        )
    )


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of what overlaps a better box, and drop what falls below ``min_score``.

    Bodla et al., "Soft-NMS", 2017. The best of the remaining boxes is taken; the others' scores
    are multiplied by a weight that depends on their IoU with it; and so on until none remains.
    The very best box is kept whatever its score. mmcv calls this with tensors of the CPU.

    Args:
        boxes: (N, 4) xyxy, pixels.
        scores: (N,).
        dets: (N, 5), of which the first M rows are written: xyxy and the lowered score, in the
            order in which they were taken.
        iou_threshold: Where naive and linear start to lower.
        sigma: Width of the Gaussian.
        min_score: In [0, 1].
        method: 0 naive (weight 0), 1 linear (``1 - iou``), 2 Gaussian (``exp(-iou**2 / sigma)``).
        offset: 0, or 1 where a box holds its last pixel.

    Returns:
        (M,) int64, the kept boxes' indices.
    """
    boxes = wide(boxes.detach()).cpu()
    box_xyxy = boxes.numpy()
    # Boxes, scores and indices as one pool that shrinks by a permutation `left`. It is shuffled as
    # mmcv shuffles its arrays, so that equal scores are taken in mmcv's order.
    score = scores.detach().to("cpu", boxes.dtype, copy=True).numpy()
    left = np.arange(len(score))
    taken: list[int] = []
    while left.size:
        best = int(score[left].argmax())
        left[0], left[best] = left[best], left[0]
        chosen, left = int(left[0]), left[1:]
        taken.append(chosen)
        iou = _iou_one_to_many(box_xyxy[chosen], box_xyxy[left], offset)
        score[left] *= _soft_weight(iou, iou_threshold, sigma, method)
        left = _without(left, score[left] < min_score)

    kept = torch.tensor(taken, dtype=torch.long)
    dets[: len(taken), :4] = boxes[kept].to(dets)
    dets[: len(taken), 4] = torch.from_numpy(score)[kept].to(dets)
    return kept.to(dets.device)


def _iou_one_to_many(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the (N,) IoU of one xyxy box with ``others`` (N, 4); 0 where both are empty."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    overlap = np.maximum(high - low + offset, 0).prod(axis=1)
    area = (box[2:] - box[:2] + offset).prod()
    areas = (others[:, 2:] - others[:, :2] + offset).prod(axis=1)
    union = area + areas - overlap
    return np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)


def _soft_weight(iou: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    """Return the factor for each score; 1 where the IoU is below the threshold."""
    if method == GAUSSIAN:
        return np.exp(-(iou * iou) / np.asarray(sigma, iou.dtype))
    lowered = np.zeros_like(iou) if method == NAIVE else 1 - iou
    return np.where(iou >= np.asarray(iou_threshold, iou.dtype), lowered, np.ones_like(iou))


def _without(pool: np.ndarray, drop: np.ndarray) -> np.ndarray:
    """Remove what is marked by moving the last survivors into the holes, as mmcv does."""
    size = int((~drop).sum())
    holes = np.flatnonzero(drop[:size])
    movers = size + np.flatnonzero(~drop[size:])[::-1]
    pool[holes] = pool[movers]
    return pool[:size]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the unreduced focal loss of every logit into ``output``.

    Lin et al., "Focal Loss for Dense Object Detection", 2017. The logarithms are taken of the
    logit, so none is cut off where a probability underflows.

    Args:
        input: (N, C) logits.
        target: (N,) int64 in 0..C, where C is background.
        weight: (C,) factor by the row's target, or empty for none. Background has the factor 1
            (mmcv's kernel reads past the end there).
        output: (N, C), written in place.
        gamma: Focusing exponent.
        alpha: Factor of the positive term; ``1 - alpha`` is the negative one's.
    """
    logit, positive = wide(input), _one_hot(target, input)
    loss = torch.where(
        positive,
        -alpha * torch.sigmoid(-logit).pow(gamma) * F.logsigmoid(logit),
        (alpha - 1) * torch.sigmoid(logit).pow(gamma) * F.logsigmoid(-logit),
    )
    output.copy_(loss * _row_weight(weight, target, logit))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of every unreduced loss by its own logit into ``grad_input``.

    mmcv's Python multiplies it by the gradient of the output and divides for the mean.
    """
    logit, positive = wide(input), _one_hot(target, input)
    p, q = torch.sigmoid(logit), torch.sigmoid(-logit)
    grad = torch.where(
        positive,
        -alpha * q.pow(gamma) * (q - gamma * p * F.logsigmoid(logit)),
        (alpha - 1) * p.pow(gamma) * (gamma * q * F.logsigmoid(-logit) - p),
    )
    grad_input.copy_(grad * _row_weight(weight, target, logit))


def _one_hot(target: Tensor, input: Tensor) -> Tensor:
    """Return (N, C) bool; a background row has none set."""
    return target[:, None] == torch.arange(input.shape[1], device=input.device)


def _row_weight(weight: Tensor, target: Tensor, logit: Tensor) -> Tensor | float:
    if weight.numel() == 0:
        return 1.0
    return F.pad(wide(weight, logit.dtype), (0, 1), value=1.0)[target][:, None]


def get_compiler_version() -> str:
    """Say, for mmcv's report of its environment, that nothing was compiled."""
    return "none (operators of torchvision)"


def get_compiling_cuda_version() -> str:
    """Return the CUDA version that torch, whose kernels run here, was compiled with."""
    return torch.version.cuda or "not available"
