"""Photos of a comparison: where the best run does best and worst, and where two differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashion_mmdet.core.per_image import image_quality

from .drawing import Photos, panel, side_by_side
from .gather import Recipe, best_of
from .page import Picture, Pictures
from .runs import Run

SCORE = 0.5  # detections below are neither drawn nor counted here
_COUNT = 4
_SIDE_PX = 420


def pictures_of(
    recipes: Sequence[Recipe], kind: str, folder: str | None
) -> tuple[list[Pictures], list[str]]:
    """Return the pages of photos, and what is to be said of those that are missing.

    Args:
        recipes: at least one.
        kind: ``"segm"`` or ``"bbox"``, by which photos are chosen.
        folder: of the photos; None takes what the evidence names.
    """
    winner = best_of(recipes, kind)
    best = winner.runs[0]
    photos = Photos(best.evidence, folder)
    quality_I = image_quality(best.evidence.matches[kind], SCORE)
    # What the model never saw is neither good nor bad.
    shown = best.evidence.predicted & ~np.isnan(quality_I)
    order = [int(i) for i in np.argsort(quality_I, kind="stable") if shown[i]]
    pages = [
        _page(f"Best photos of {best.name}", photos, order[::-1], [best], kind),
        _page(f"Worst photos of {best.name}", photos, order, [best], kind),
    ]
    others = [recipe.runs[0] for recipe in recipes if recipe is not winner]
    if others:
        other = others[0]  # the reference, or where that is the best, the next one given
        apart_I = np.abs(quality_I - image_quality(other.evidence.matches[kind], SCORE))
        order = [int(i) for i in np.argsort(-apart_I, kind="stable") if shown[i] and apart_I[i] > 0]
        title = f"Most different: {other.name} and {best.name}"
        pages.append(_page(title, photos, order, [other, best], kind))
    notes = [f"{count} photo(s) not shown: {why}." for why, count in photos.missing.items()]
    return [page for page in pages if page.items], notes


def _page(
    title: str, photos: Photos, order: Sequence[int], runs: Sequence[Run], kind: str
) -> Pictures:
    items: list[Picture] = []
    for i in order:
        if len(items) == _COUNT:
            break
        photo = photos.read(i)
        if photo is not None:
            items.append(_picture(photo, i, runs, kind))
    text = (
        f"Truth left, then detections with a score of {SCORE} or more. The figure is "
        "TP / (TP + FP + FN) of the photo, the mean over IoU thresholds."
    )
    return Pictures(title, text, items)


def _picture(photo: np.ndarray, i: int, runs: Sequence[Run], kind: str) -> Picture:
    evidence = runs[0].evidence
    truth = np.flatnonzero((evidence.truth.image == i) & ~evidence.truth.is_crowd)
    panels = [panel(photo, evidence, i, evidence.truth, truth.tolist(), _SIDE_PX)]
    said = []
    for run in runs:
        found = run.evidence.found
        sure = np.flatnonzero((found.image == i) & (found.score >= SCORE))
        panels.append(panel(photo, run.evidence, i, found, sure.tolist(), _SIDE_PX))
        quality = image_quality(run.evidence.matches[kind], SCORE)[i]
        said.append(f"{run.name} {quality:.2f}")
    name = evidence.file_names.get(int(evidence.image_ids[i]), str(evidence.image_ids[i]))
    jpeg = side_by_side(panels, ["truth", *(run.name for run in runs)])
    return Picture(jpeg, f"{name}: {', '.join(said)}")
