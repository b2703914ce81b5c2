"""The catalogue of findings, as data: severity, meaning, advice, and what ``--fix`` does.

``error``: training stops, or learns something wrong. ``warning``: it loses or bends something.
``note``: it is worth knowing.
"""

from __future__ import annotations

from .catalogue_shapes import SHAPES
from .kind import DROP_ANNOTATION, DROP_IMAGE, Kind

_ENTRIES: dict[str, Kind] = {
    # the file
    "not JSON": Kind("error", "the file cannot be read as JSON", "Fetch or write the file again."),
    "missing list": Kind(
        "error",
        "'images', 'annotations' or 'categories' is no list",
        "Give a COCO instance file.",
    ),
    "malformed entry": Kind(
        "error",
        "an entry is no object, or a key that it must have is missing or of another type",
        "See the COCO data format.",
        "the entry is removed, an image with its annotations",
    ),
    "number not finite": Kind(
        "error",
        "NaN or infinity where a number of pixels belongs",
        "Find the division by zero that wrote it.",
        "box and area become those of the mask; a mask with such a number is removed",
    ),
    "other value not finite": Kind(
        "warning",
        "NaN or infinity, as pandas writes for what is missing: JSON has no such value",
        "Leave the key out where there is no value.",
        "the value becomes null",
    ),
    # categories
    "category id twice": Kind(
        "error",
        "two categories share an id, so that nobody can tell which one an annotation means",
        "Number the categories afresh where the file was written.",
        "the later category gets a new id; annotations of the shared id are removed",
    ),
    "category name twice": Kind(
        "error",
        "one name has two ids",
        "Merge the two.",
        "annotations of the later id get the first one",
    ),
    "category misspelt": Kind(
        "error",
        "a name is one of the 49 but for case, blanks or punctuation, and so no class",
        "Rename it.",
        "the name becomes that of the 49",
    ),
    "category unknown": Kind(
        "warning",
        "a name is none of the 49: training stops unless metainfo.classes of the config names it",
        "Rename it by hand (--fix guesses no garment), remove it, or name your classes in the "
        "config.",
    ),
    "category without annotations": Kind(
        "note",
        "categories of the file have no annotation",
        "Nothing, unless you expected some.",
        is_usual=True,
    ),
    # images
    "image id twice": Kind(
        "error",
        "two images share an id, so that nobody can tell on which one a mask lies",
        "Number the images afresh where the file was written.",
        "of one photo, the first whole entry stays; of two photos, both go with annotations",
    ),
    "file name twice": Kind(
        "error",
        "two images are one photo, each with a part of its masks",
        "Merge the two images.",
        "the later image's annotations go to the first whole one, if of its size; else are removed",
    ),
    "file name leaves the folder": Kind(
        "error",
        "a file name is absolute or climbs out of the folder of photos",
        "Names are relative to the folder of photos.",
        DROP_IMAGE,
    ),
    "image without annotations": Kind(
        "note",
        "no annotation lies on the image: filter_empty_gt leaves it out of training",
        "Nothing, if there is no garment on it.",
    ),
    "many instances": Kind(
        "warning",
        "more instances than a detector returns for one image (max_per_img, 100 in our configs)",
        "Look at the image: are beads or sequins annotated one by one?",
    ),
    # annotations: references and flags
    "annotation id twice": Kind(
        "error",
        "two annotations share an id: pycocotools scores the later one alone",
        "Number the annotations afresh.",
        "the later one gets a new id",
    ),
    "annotation of unknown image": Kind(
        "error",
        "the image of an annotation is not in the file",
        "Are the lists of one file?",
        DROP_ANNOTATION,
    ),
    "annotation of unknown category": Kind(
        "error",
        "the category of an annotation is not in the file",
        "Complete the list of categories.",
        DROP_ANNOTATION,
    ),
    "crowd": Kind(
        "note",
        "marked as a crowd: ignored in training, and misses on it are not counted",
        "Nothing, if it is one. Some exporters mark masks with holes as crowds.",
    ),
    "iscrowd malformed": Kind(
        "error",
        "iscrowd is neither 0 nor 1",
        "Write 1 for a crowd, 0 for an instance.",
        "it becomes 0",
    ),
    "ignore flag": Kind(
        "warning",
        "marked 'ignore': the loader leaves it out as if it were background",
        "Remove the key, or mark the region iscrowd=1.",
    ),
    "attribute unknown": Kind(
        "warning",
        "an attribute id is not in the file's list of attributes",
        "Complete the list, or mend the id.",
        "the id is removed from the annotation",
    ),
}

_PHOTOS_AND_LOADER: dict[str, Kind] = {
    # photos
    "photo missing": Kind(
        "error", "a photo is not in the folder", "Is the folder complete?", DROP_IMAGE
    ),
    "photo under another name": Kind(
        "error",
        "a photo differs from its image's file name in suffix or case: training does not find it",
        "Rename the photo or the entry; names are case-sensitive.",
        "the file name becomes that of the photo",
    ),
    "photo unreadable": Kind(
        "error", "a photo cannot be decoded: training stops at it", "Fetch it again.", DROP_IMAGE
    ),
    "photo truncated": Kind(
        "error",
        "a photo is cut short: training stops at it, or sees grey (OpenCV before 5)",
        "Fetch it again.",
        DROP_IMAGE,
    ),
    "photo of another size": Kind(
        "error",
        "a photo has another size than its image: training stops at it, for masks lie elsewhere",
        "Was the photo resized? Masks belong to the original.",
        DROP_IMAGE,
    ),
    "photo turned by EXIF": Kind(
        "error",
        "loading turns the photo by its EXIF orientation, and the masks lie on it as stored",
        "Remove the orientation tag from the photo (keep its pixels).",
        DROP_IMAGE,
    ),
    "photo with EXIF orientation": Kind(
        "warning",
        "loading turns or mirrors the photo by its EXIF orientation",
        "Look at it with browse: do the masks lie on the turned photo?",
    ),
    "photo grey": Kind(
        "note", "a photo has one channel: training repeats it three times", "Nothing."
    ),
    "photo CMYK": Kind(
        "note",
        "a photo is in CMYK: training sees OpenCV's conversion, whose colours are off",
        "Convert it to RGB.",
    ),
    "photo with alpha": Kind(
        "note",
        "a photo has an alpha channel or transparent colour: training drops it, whatever lies "
        "under what is transparent",
        "Lay it on a background of your choice.",
    ),
    "photo of 16 bit": Kind(
        "note", "a photo has 16 bits a channel: training keeps the upper eight", "Nothing."
    ),
    # the replay of the loader
    "loader refuses": Kind(
        "error", "the config's dataset does not take the file", "See the message."
    ),
    "loader fails": Kind("error", "the config's pipeline stops at an image", "See the message."),
    "loader relabels": Kind(
        "error",
        "an instance trains as another category than its own",
        "Use FashionDataset: it maps categories by name.",
    ),
    "loader drops": Kind(
        "warning", "an instance does not reach the model: it trains as background", "See why."
    ),
    "loader ignores": Kind(
        "warning", "an instance reaches the model as a region to be ignored", "See why."
    ),
    "loader empties": Kind(
        "warning",
        "an instance's mask has no pixel at the size of training",
        "Train at a larger size, or filter such masks (FilterAnnotations, by_mask=True).",
    ),
}

#: kind -> what it is; in the order in which the files are looked through.
CATALOGUE: dict[str, Kind] = _ENTRIES | SHAPES | _PHOTOS_AND_LOADER
