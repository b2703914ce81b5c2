"""``mmcv._ext`` made of torch and torchvision: deformable convolution and attention.

Names, argument orders and output tensors as described in :mod:`fashion_mmdet.compat.operators`.
mmcv hands over scratch tensors (``columns``, ``ones``) and ``im2col_step``, the number of images
unfolded at once; torchvision has its own, so their contents are not used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .operators import wide


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Convolve with kernel points moved by ``offset`` (Dai et al., 2017), into ``output``.

    Args:
        input: (N, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (N, deformable_group * kH * kW * 2, H', W'), pairs (dy, dx) in features.
        output: (N, O, H', W'), written in place.
        columns: Not used.
        ones: Not used.
        kW: Kernel width, as ``weight`` has it.
        kH: Kernel height, as ``weight`` has it.
        dW: Stride across.
        dH: Stride down.
        padW: Padding across.
        padH: Padding down.
        dilationW: Dilation across.
        dilationH: Dilation down.
        group: Groups of channels of the convolution.
        deformable_group: Groups of channels that share offsets.
        im2col_step: Not used.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients of ``input`` and ``offset`` into ``gradInput`` and ``gradOffset``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradients = _convolve_backward(gradOutput, input, weight, offset, None, geometry)
    gradInput.copy_(gradients[0])
    gradOffset.copy_(gradients[2])
    # torchvision computes all gradients at once. mmcv asks for the weight's in a second call with
    # the same scratch tensor and the same gradOutput: kept there, it halves the time of backward.
    columns.weight_gradient = (gradOutput, gradients[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``gradWeight``."""
    kept_for, gradient = columns.__dict__.pop("weight_gradient", (None, None))
    if kept_for is not gradOutput:
        geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        # The weight's own gradient does not depend on the weight, which mmcv does not hand over.
        gradient = _convolve_backward(gradOutput, input, gradWeight, offset, None, geometry)[1]
    gradWeight.add_(gradient.to(gradWeight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Convolve with kernel points moved by ``offset`` and weighted by ``mask``, into ``output``.

    Zhu et al., "Deformable ConvNets v2", 2019. As :func:`deform_conv_forward`, and:

    Args:
        mask: (N, deformable_group * kernel_h * kernel_w, H', W').
        bias: (O,), or a placeholder where ``with_bias`` is false.
        with_bias: Whether ``bias`` counts.
    """
    geometry = (
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )  # fmt: skip
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of :func:`modulated_deform_conv_forward`'s inputs into ``grad_*``."""
    geometry = (
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )  # fmt: skip
    gradients = _convolve_backward(grad_output, input, weight, offset, mask, geometry)
    targets = (grad_input, grad_weight, grad_offset, grad_mask, grad_bias)
    for target, gradient in zip(targets[: 5 if with_bias else 4], gradients, strict=False):
        target.copy_(gradient)


Geometry = tuple[int, int, int, int, int, int, int, int]
"""Stride, padding, dilation (down, across each), groups, offset groups: torchvision's order."""


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    features = wide(input)
    return torch.ops.torchvision.deform_conv2d(
        features,
        wide(weight, features.dtype),
        wide(offset, features.dtype),
        *_mask_and_bias(features, weight, mask, bias),
        *geometry,
        mask is not None,
    )


def _convolve_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: Geometry,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of input, weight, offset, mask and bias."""
    features = wide(input)
    return torch.ops.torchvision._deform_conv2d_backward(
        wide(grad_output, features.dtype),
        features,
        wide(weight, features.dtype),
        wide(offset, features.dtype),
        *_mask_and_bias(features, weight, mask, None),
        *geometry,
        mask is not None,
    )


def _mask_and_bias(
    features: Tensor, weight: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return both, with torchvision's stand-ins (an empty mask, a bias of zeros) where absent."""
    return (
        features.new_empty((features.shape[0], 0)) if mask is None else wide(mask, features.dtype),
        features.new_zeros(weight.shape[0]) if bias is None else wide(bias, features.dtype),
    )


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return multi-scale deformable attention (Zhu et al., "Deformable DETR", 2021).

    Args:
        value: (N, K, heads, D), the levels one after another along K.
        value_spatial_shapes: (L, 2) int64, height and width of each level.
        value_level_start_index: (L,). Not used: it follows from the shapes.
        sampling_locations: (N, Q, heads, L, P, 2), (x, y) as fractions of the level.
        attention_weights: (N, Q, heads, L, P).
        im2col_step: Not used.

    Returns:
        (N, Q, heads * D) in the dtype of ``value``.
    """
    dtype = wide(value[:0]).dtype
    return _attend(
        wide(value),
        value_spatial_shapes.tolist(),
        wide(sampling_locations, dtype),
        wide(attention_weights, dtype),
    ).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of :func:`ms_deform_attn_forward`'s inputs into ``grad_*``."""
    dtype = wide(value[:0]).dtype
    with torch.enable_grad():
        inputs = [
            wide(t.detach(), dtype).requires_grad_()
            for t in (value, sampling_locations, attention_weights)
        ]
        attended = _attend(inputs[0], value_spatial_shapes.tolist(), *inputs[1:])
    gradients = torch.autograd.grad(attended, inputs, wide(grad_output, dtype))
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, gradient in zip(targets, gradients, strict=True):
        target.copy_(gradient)


def _attend(
    value: Tensor, shapes_hw: list[list[int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sample each level bilinearly (zero outside), weight and add up: (N, Q, heads * D)."""
    batch, _, heads, channels = value.shape
    queries, levels, points = locations.shape[1], len(shapes_hw), locations.shape[4]
    # (N * heads, Q, L, P, ...): grid_sample wants heads beside the batch.
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, queries, levels * points)
    by_level = value.split([h * w for h, w in shapes_hw], dim=1)
    sampled = [
        F.grid_sample(
            level.permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width),
            grids[:, :, index],
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        for index, (level, (height, width)) in enumerate(zip(by_level, shapes_hw, strict=True))
    ]
    attended = (torch.cat(sampled, dim=-1) * weights).sum(-1)
    return attended.view(batch, heads * channels, queries).transpose(1, 2).contiguous()
