"""``--fix``: a repaired copy of a COCO file, and a log of every change.

The catalogue says what is done about each kind, :mod:`.remedies` does it. What cannot be mended
without guessing is removed; nothing is moved, relabelled or redrawn beyond what the catalogue
states. Repair goes in rounds, for one fault may hide another (a clipped polygon may be empty),
until a round finds nothing that it can mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import json_text

from .annotations import Survey, survey_data
from .catalogue import CATALOGUE
from .findings import Finding, Findings
from .masks import check_masks
from .remedies import REMEDIES
from .repair import Repair

_MOST_ROUNDS = 6
#: Findings of a photo for which its image is removed.
_LOSES_THE_PHOTO = frozenset({
    "photo missing", "photo unreadable", "photo truncated", "photo of another size",
    "photo turned by EXIF",
})  # fmt: skip


@dataclass(frozen=True)
class Fixed:
    """A repaired file.

    Attributes:
        data: the content.
        changes: ``{"list", "index", "id", "kind", "change", "before", "after"}`` each; ``index``
            is the position in the input.
        left: what a check of the repaired content still finds.
    """

    data: dict[str, Any]
    changes: list[dict[str, Any]]
    left: Findings


def fix(
    data: dict[str, Any], findings: Iterable[Finding], name: str, scale: tuple[int, int]
) -> Fixed:
    """Repair a file's content; ``data`` itself stays as it is.

    Args:
        data: the content.
        findings: of :func:`.annotations.survey_data` and the checks of masks and photos.
        name: the file's name, for messages.
        scale: as for the check.

    Raises:
        AnnotationError: if errors are left, which only a fault of this module can cause.
    """
    repair = Repair(data)
    for _ in range(_MOST_ROUNDS):
        repair.apply(filter(is_mended, findings), REMEDIES)
        survey = survey_data(repair.data, name)
        check_masks(survey, scale)
        findings = survey.findings
        if not any(is_mended(finding) for finding in findings):
            break
    errors = [finding for finding in survey.findings if finding.severity == "error"]
    if errors:
        raise AnnotationError(
            f"{name}: a file without errors expected after the repair, got {len(errors)}, e.g. "
            f"{errors[0].where}: {errors[0].message} Please report this."
        )
    return Fixed(repair.data, repair.changes, survey.findings)


def pieces_of_json(data: dict[str, Any], where: str) -> Iterator[str]:
    """Yield the text of a COCO file by entry: in one it would take some times its memory.

    Raises:
        FashionError: as :func:`core.files.json_text`; ``where`` is named.
    """
    between = "{"
    for key, value in data.items():
        yield f"{between}{json_text(key, where)}: "
        if isinstance(value, list):
            for index, entry in enumerate(value):
                yield ("[", ",\n")[index > 0] + json_text(entry, f"{where}: {key}[{index}]")
            yield "]" if value else "[]"
        else:
            yield json_text(value, where)
        between = ",\n"
    yield "}\n"


def refuse_wrong_folder(survey: Survey) -> None:
    """Refuse to remove most of a file because its photos were sought in another folder.

    Or because they cannot be read now, or are of another size: a folder of links, of small
    copies, of a cache.

    Raises:
        FashionError: if more than half of the images would be removed for their photos.
    """
    lost = [finding for finding in survey.findings if finding.kind in _LOSES_THE_PHOTO]
    n_lost, n_images = len({finding.entry for finding in lost}), len(survey.images)
    if 2 * n_lost > n_images:
        kinds = Counter(finding.kind for finding in lost).most_common()
        raise FashionError(
            f"--fix: at least half of the photos as annotated expected, got {n_lost:,} of "
            f"{n_images:,} that would be removed: {', '.join(f'{n:,} {k}' for k, n in kinds)}. Is "
            "--images right? Without --images the photos are not looked at."
        )


def is_mended(finding: Finding) -> bool:
    """Return whether ``--fix`` does something about a finding."""
    return bool(CATALOGUE[finding.kind].fix)
