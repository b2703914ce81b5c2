"""A trial's command without a network: leaves ``run.json`` as training does, in tenths of seconds.

``python toy_trial.py CONFIG --work-dir W [--resume] --cfg-options KEY=VALUE...``. Options:
``lr`` (the nearer to 0.01 the better), ``epochs`` (4), ``seconds`` of an epoch (0.1), ``fault``
(``exit``, ``oom``, ``nan``, ``disk``, ``kill``, ``deaf`` or ``none``), ``randomness.seed``.
An epoch that is done is not done again after ``--resume``; every epoch begun is a line of
``epochs.txt``. Where ``gate`` is given, that epoch does not end before the work dir holds ``open``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from fashion_mmdet.core.provenance import Code, Hardware
from fashion_mmdet.core.run_record import (
    SCHEMA,
    Parameters,
    RunRecord,
    Session,
    Setting,
    Validation,
    read_run,
    utc_now,
    write_run,
)

METRIC = "coco/segm_mAP"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[])
    args = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in args.cfg_options)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if given.get("fault") == "deaf" else _stop)
    epochs = int(given.get("epochs", 4))
    (args.work_dir / "given.json").write_text(json.dumps(given))
    (args.work_dir / "environment.json").write_text(json.dumps(dict(os.environ)))
    record = read_run(args.work_dir) if args.resume and _has(args.work_dir) else _new(epochs)
    try:
        for epoch in range(len(record.validations) + 1, epochs + 1):
            with open(args.work_dir / "epochs.txt", "a") as stream:
                stream.write(f"{epoch}\n")
            time.sleep(float(given.get("seconds", 0.1)))
            while epoch == int(given.get("gate", 0)) and not (args.work_dir / "open").exists():
                time.sleep(0.05)
            _fail(given.get("fault", "none"), args.work_dir)
            record = _validated(record, epoch, given)
            write_run(args.work_dir, record)
    except SystemExit:
        write_run(args.work_dir, dataclasses.replace(record, status="stopped"))
        raise
    write_run(args.work_dir, dataclasses.replace(record, status="finished"))


def value(lr: float, epoch: int, seed: int = 0) -> float:
    """The figure of an epoch: it rises, to more the nearer ``lr`` is to 0.01."""
    return 0.4 * math.exp(-abs(math.log10(lr) + 2)) * epoch / (epoch + 1) + 1e-4 * (seed % 7)


def _stop(*_: Any) -> None:
    print("asked to stop", flush=True)
    sys.exit(143)


def _has(work_dir: Path) -> bool:
    return (work_dir / "run.json").is_file()


def _fail(fault: str, work_dir: Path) -> None:
    if fault == "exit":
        print("Traceback (most recent call last):\n  ...\nKeyError: 'no such thing'", flush=True)
        sys.exit(1)
    if fault == "oom":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.", flush=True)
        sys.exit(1)
    if fault == "nan":
        print("error: training: a finite loss expected, got nan at iteration 3.", flush=True)
        sys.exit(1)
    if fault == "disk" and not (work_dir / "room").exists():
        (work_dir / "room").touch()
        print("OSError: [Errno 28] No space left on device", flush=True)
        sys.exit(1)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def _validated(record: RunRecord, epoch: int, given: dict[str, str]) -> RunRecord:
    figure: float | None = value(
        float(given.get("lr", 0.01)), epoch, int(given.get("randomness.seed", 0))
    )
    if given.get("fault") == "none_metric":
        figure = None
    name = "coco/other" if given.get("fault") == "no_metric" else METRIC
    one = Validation(epoch, 10 * epoch, {name: figure}, (), 10.0)
    session = Session(
        started_utc=record.started_utc, ended_utc=utc_now(), error=None, wall_s=0.1 * epoch,
        resumed_from=None, from_epoch=0, from_iter=0, to_epoch=epoch, to_iter=10 * epoch,
        timed_images=10, timed_s=1.0, peak_rss_mib=1.0, peak_cuda_mib=None, changed={},
    )  # fmt: skip
    return dataclasses.replace(
        record, validations=(*record.validations, one), sessions=(session,), wall_s=0.1 * epoch
    )


def _new(epochs: int) -> RunRecord:
    setting = Setting(Code("a" * 40, True), {}, Hardware("a processor", 2, 8000), "none", 1, {})
    return RunRecord(
        schema=SCHEMA, name="toy", status="running", error=None, started_utc=utc_now(),
        updated_utc=utc_now(), ended_utc=None, wall_s=0.0, images_per_s=None, peak_rss_mib=None,
        peak_cuda_mib=None, config_file=None, config={"train_cfg": {"max_epochs": epochs}},
        overrides=None, seed=0, data={}, setting=setting, initialisation=(),
        parameters=Parameters(1, 1), compute=None, sessions=(), losses=(), validations=(),
        tests=(), evaluation=(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
