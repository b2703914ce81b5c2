"""The part of the catalogue of findings that is about masks, boxes and areas."""

from __future__ import annotations

from .kind import DROP_ANNOTATION, Kind

_BOX = "the box becomes that of the mask"
_AREA = "the area becomes that of the mask"

SHAPES: dict[str, Kind] = {
    # annotations: masks
    "no segmentation": Kind(
        "error",
        "an annotation has no mask: the loader ignores it",
        "Annotate a mask, or remove the annotation.",
        DROP_ANNOTATION,
    ),
    "segmentation malformed": Kind(
        "error",
        "a segmentation is neither polygons nor a run-length code that adds up to the image",
        "Export the mask again.",
        "what is malformed is removed, and the annotation if no polygon is left",
    ),
    "mask of another size": Kind(
        "error",
        "a run-length code is of another size than its image",
        "Were height and width swapped, or the photo resized?",
        DROP_ANNOTATION,
    ),
    "polygon of too few points": Kind(
        "error",
        "a polygon has fewer than three points",
        "Remove it.",
        "the polygon is removed, and the annotation if none is left",
    ),
    "polygon degenerate": Kind(
        "warning",
        "all points of a polygon lie on one line",
        "Remove it.",
        "the polygon is removed, and the annotation if none is left",
    ),
    "polygon crosses itself": Kind(
        "warning",
        "edges of a polygon cross, so that a part of it may count as outside",
        "Draw it again.",
    ),
    "polygon of many points": Kind(
        "note",
        "a polygon has more than 5,000 points; whether it crosses itself was not looked at",
        "Simplify it: photos have fewer pixels along a garment's outline.",
    ),
    "polygon out of frame": Kind(
        "warning",
        "points of a polygon lie outside the image by more than a pixel",
        "Are the coordinates in pixels of this image?",
        "the points move to the frame",
    ),
    "polygon outside": Kind(
        "error",
        "more than half of a polygon lies outside the image: it is of another image or scale",
        "Are the coordinates in pixels of this image? Draw it again, or remove it.",
        "the polygon is removed, and the annotation if none is left",
    ),
    "mask empty": Kind("error", "a mask has no pixel", "Remove the annotation.", DROP_ANNOTATION),
    "mask tiny": Kind(
        "note",
        "a mask has less than 64 px at the working size: less than one cell of the finest level",
        "Train at a larger size, if such masks matter.",
    ),
    "mask over the whole photo": Kind(
        "warning",
        "a mask covers more than 95 % of the photo",
        "Is it the background, or an inverted mask?",
    ),
    "mask twice": Kind(
        "error",
        "two annotations of an image have one category and the same pixels",
        "Remove one.",
        "the later one is removed",
    ),
    "mask with two categories": Kind(
        "warning",
        "two annotations of an image have the same pixels and two categories",
        "Which one is it?",
    ),
    "masks overlap": Kind(
        "warning",
        "two masks of one category on one image share more than 70 % (IoU)",
        "Are they one instance, annotated twice?",
    ),
    # annotations: boxes and areas
    "box missing": Kind(
        "warning", "no bbox: stock mmdet fails, our loader takes the mask's", "Add it.", _BOX
    ),
    "box malformed": Kind(
        "error", "a bbox is not four numbers [x, y, width, height]", "Mend it.", _BOX
    ),
    "box without area": Kind(
        "error", "a box is less than a pixel wide or high: the loader drops it", "Mend it.", _BOX
    ),
    "box outside": Kind(
        "error", "a box lies outside its image: the loader drops it", "Mend it.", _BOX
    ),
    "box out of frame": Kind(
        "warning", "a box leaves its image by more than 2 px", "Mend it.", _BOX
    ),
    "box is not the mask's": Kind(
        "warning",
        "a box is not the one around its mask: boxes and masks teach different things",
        "Is the box [x, y, width, height], and of this mask?",
        _BOX,
    ),
    "area missing": Kind(
        "warning", "no area: stock mmdet fails, our loader takes the mask's", "Add it.", _AREA
    ),
    "area malformed": Kind("error", "an area is no number", "Mend it.", _AREA),
    "area 0": Kind(
        "error", "an area of 0 or less: the loader drops the instance", "Mend it.", _AREA
    ),
    "area is the box's": Kind(
        "warning",
        "the area is that of the box: AP of small, medium and large is of other instances",
        "Take the mask's area.",
        _AREA,
    ),
    "area is not the mask's": Kind(
        "warning", "the area is not that of the mask", "Take the mask's area.", _AREA
    ),
}
