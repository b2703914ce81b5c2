"""Reads what an offline run of W&B has written: its ``.wandb`` file, record by record."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def records_in(path: Path, patience_s: float = 20) -> list[Any]:
    """Return the records of a finished run; wandb's own process writes the last ones later."""
    deadline = time.monotonic() + patience_s
    while True:
        records = list(parsed(path))
        if any(r.WhichOneof("record_type") == "exit" for r in records):
            return records
        assert time.monotonic() < deadline, f"{path} was not finished"
        time.sleep(0.1)


def parsed(path: Path) -> Iterator[Any]:
    """Yield the protobuf records of a .wandb file: LevelDB's log format after seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] in (b":W&B", b"")
    position, parts = 7, []
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if position > len(data):
            return
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def read_file(path: Path) -> tuple[Any, list[dict[str, Any]], dict[str, str]]:
    """Return (run record, history rows, {metric pattern: axis}) of a finished run."""
    run, rows, axes = None, [], {}
    for record in records_in(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
        elif kind == "history":
            row = {}
            for item in record.history.item:
                row["/".join([item.key, *item.nested_key]).strip("/")] = json.loads(item.value_json)
            rows.append(row)
        elif kind == "metric":
            axes[record.metric.glob_name or record.metric.name] = record.metric.step_metric
    return run, rows, axes
