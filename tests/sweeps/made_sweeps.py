"""Records of sweeps that were never run: trials of a made-up response, by seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from chromium import HOSTILE

from fashion_mmdet.core.provenance import Code, Hardware
from fashion_mmdet.sweeps.record import BASELINE, SCHEMA, Final, Point, SweepRecord, Trial
from fashion_mmdet.sweeps.sweep_file import sweep_of

#: Texts that would do something where they are not escaped: markup, escapes, directions, lines.
EVIL = f"{HOSTILE}\x1b[31m\u202egnp.exe\n# | [a](javascript:b) `c` $x_1$ {{{{ fileDirname }}}}"
LR = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}
PARAMETERS: dict[str, Any] = {
    "optim_wrapper.optimizer.lr": LR,
    "train_dataloader.batch_size": {"values": [2, 4, 8]},
    "model.roi_head.mask_head.class_agnostic": {"values": [True, False]},
}
#: One of every kind, with long names.
MANY: dict[str, Any] = {
    **PARAMETERS,
    "model.train_cfg.rcnn.sampler.pos_fraction": {"min": 0.1, "max": 0.5},
    "param_scheduler.1.end": {"min": 2, "max": 12},
    "train_dataloader.dataset.pipeline.2.scale": {"values": [[288, 288], [384, 384], None]},
    "model.backbone.norm_cfg": {"values": [{"type": "BN"}, {"type": "GN", "num_groups": 32}]},
    "optim_wrapper.optimizer.a_key_of_a_very_long_name_that_does_not_fit": {
        "distribution": "normal", "mu": 0.9, "sigma": 0.05,
    },
}  # fmt: skip
METRIC = "coco/segm_mAP"


def definition(
    parameters: Mapping[str, Any] | None = None, metric: str = METRIC, goal: str = "maximize"
) -> dict[str, Any]:
    """Return the content of a sweep file."""
    return {
        "program": "configs/ccp/mask_rcnn_r18_ccp_cpu.py",
        "method": "random",
        "metric": {"name": metric, "goal": goal},
        "command": ["${env}", "fashion", "train", "${program}", "--cfg-options",
                    "${args_no_hyphens}"],
        "parameters": dict(PARAMETERS if parameters is None else parameters),
    }  # fmt: skip


def make_sweep(
    outcomes: str = "ddpdfddpd",
    parameters: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    metric: str = METRIC,
    goal: str = "maximize",
    n_validations: int = 4,
    constant: float | None = None,
    noise: float = 0.004,
    reason: str = "others were better by validation 1",
    last_lines: Sequence[str] = ("RuntimeError: loss is nan",),
    finals: Sequence[Final] = (),
) -> SweepRecord:
    """Return the record of a sweep in which the learning rate matters, and little else.

    Args:
        outcomes: a letter a trial: done, pruned, failed, running, waiting.
        parameters: of the sweep file.
        seed: of the draws.
        metric: its name.
        goal: ``"minimize"`` turns the response round.
        n_validations: of a trial that ran to its end.
        constant: the metric of all trials; None for the response.
        noise: standard deviation between trials of one setting.
        reason: of those that were pruned or failed.
        last_lines: of those that failed.
        finals: as they are.
    """
    content = definition(parameters, metric, goal)
    searched = sweep_of(content, "configs/sweeps/made.yaml").searched()
    rng = np.random.default_rng(seed)
    trials = []
    for number, letter in enumerate(outcomes):
        outcome: Any = {"d": "done", "p": "pruned", "f": "failed", "r": "running",
                        "w": "waiting"}[letter]  # fmt: skip
        raw = {} if letter == "w" else {one.key: _drawn(one, rng) for one in searched}
        values = {one.key: one.value(raw[one.key]) for one in searched if raw}
        first = raw.get(searched[0].key, 1e-3)
        place = (np.log10(first) + 5) / 3 if isinstance(first, float) and first > 0 else 0.5
        whole = 0.05 - 0.04 * (place - 0.7) ** 2 + noise * float(rng.normal())
        if goal == "minimize":
            whole = 1 - whole
        if constant is not None:
            whole = constant
        n = {"d": n_validations, "p": 1, "f": 0, "r": 1, "w": 0}[letter]
        course = tuple(
            Point(s, s, whole * (1 if constant is not None else s / n_validations) ** 0.5)
            for s in range(1, n + 1)
        )
        trials.append(
            Trial(
                number=number, outcome=outcome, values=values, raw=raw,
                metric=course[-1].value if course else None, course=course,
                reason=reason if letter in "pf" else None,
                last_lines=tuple(last_lines) if letter == "f" else (),
                attempts=2 if letter == "f" else 1, work_dir=f"trials/trial_{number:03d}",
                started_utc="2026-11-28T04:00:00Z", ended_utc="2026-11-28T04:10:00Z",
                wall_s=0.0 if letter == "w" else 150.0 * (n + 1),
            )
        )  # fmt: skip
    return SweepRecord(
        schema=SCHEMA, name="made", file="configs/sweeps/made.yaml", definition=content,
        program=content["program"], seed=seed, planned=len(outcomes),
        started_utc="2026-11-28T04:00:00Z", updated_utc="2026-11-28T06:00:00Z",
        code=Code("a" * 40, True), versions={"torch": "2.14.1"},
        hardware=Hardware("a processor", 2, 8000), trials=tuple(trials), finals=tuple(finals),
    )  # fmt: skip


def _drawn(parameter: Any, rng: np.random.Generator) -> Any:
    scale = parameter.drawn()
    if hasattr(scale, "choices"):
        return scale.choices[int(rng.integers(len(scale.choices)))]
    if type(scale).__name__ == "IntDistribution":
        return int(rng.integers(scale.low, scale.high + 1))
    if scale.log:
        return float(np.exp(rng.uniform(np.log(scale.low), np.log(scale.high))))
    return float(rng.uniform(scale.low, scale.high))


def make_final(finalist: str, seed: int, metric: float | None, **changes: Any) -> Final:
    """Return a run of the finals; one without a metric failed."""
    final = Final(
        finalist=finalist, seed=seed, outcome="failed" if metric is None else "done",
        values={} if finalist == BASELINE else {"optim_wrapper.optimizer.lr": 0.0005},
        metric=metric, reason=None, last_lines=(), attempts=1,
        work_dir=f"finals/{finalist}_seed{seed}", wall_s=700.0,
    )  # fmt: skip
    return dataclasses.replace(final, **changes)
