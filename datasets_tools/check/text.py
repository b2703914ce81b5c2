"""The findings as text for the terminal and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets_tools.report import counted

from .annotations import Survey
from .catalogue import CATALOGUE
from .findings import SEVERITIES, Findings
from .photos import Speed

_SHOWN_PER_KIND = 3
_MOST_OF_USUAL = 100  # characters


def findings_text(findings: Findings) -> Iterator[str]:
    """Yield the lines to print: by kind, most severe and most frequent first, three named."""
    for kind, found in findings.ranked():
        about = CATALOGUE[kind]
        if about.is_usual:
            for finding in found:
                yield f"{about.severity}: {kind}: {_cut(finding.message)} {about.advice}"
            continue
        yield f"{about.severity}: {kind} ({len(found):,}): {about.meaning}"
        for finding in found[:_SHOWN_PER_KIND]:
            photo = f" [{finding.file_name}]" if finding.file_name else ""
            yield f"    {finding.where}{photo}: {finding.message}"
        if len(found) > _SHOWN_PER_KIND:
            yield f"    and {len(found) - _SHOWN_PER_KIND:,} more"
        yield f"    {about.what_to_do}"


def _cut(message: str) -> str:
    if len(message) <= _MOST_OF_USUAL:
        return message
    return f"{message[:_MOST_OF_USUAL].rpartition(', ')[0]}, ..."


def summary(survey: Survey) -> str:
    """Return ``"12 images, 90 annotations: 1 error, 0 warnings, 3 notes"``."""
    sizes = [counted(len(survey.data.get(f"{n}s", [])), n) for n in ("image", "annotation")]
    shown = [counted(survey.findings.of_severity(severity), severity) for severity in SEVERITIES]
    return f"{', '.join(sizes)}: {', '.join(shown)}"


def as_json(survey: Survey, speed: Speed | None, replay: dict[str, Any] | None) -> dict[str, Any]:
    """Return what ``--json`` writes: totals, the kinds found, every finding, the replay."""
    counts = survey.findings.counts()
    return {
        "file": survey.name,
        "images": len(survey.data.get("images", [])),
        "annotations": len(survey.data.get("annotations", [])),
        **{f"{name}s": survey.findings.of_severity(name) for name in SEVERITIES},
        "photos_decoded": speed.n_photos if speed else 0,
        "kinds": {
            kind: {
                "severity": about.severity,
                "count": counts[kind],
                "meaning": about.meaning,
                "advice": about.advice,
                "fix": about.fix or None,
            }
            for kind, about in CATALOGUE.items()
            if counts[kind]
        },
        "findings": [
            finding.as_dict() for _, found in survey.findings.ranked() for finding in found
        ],
        "replay": replay,
    }
