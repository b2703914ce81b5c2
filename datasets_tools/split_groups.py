"""What may not be parted: the groups of a split, from wherever they come."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets_tools.name_lists import NameIndex, connected, groups_by_key, units_of
from datasets_tools.near_photos import (
    Pair,
    Photo,
    crossing,
    find_pairs,
    pair_lines,
    photos_of,
)
from datasets_tools.photo_hashes import hash_photos
from datasets_tools.report import BadRows, counted, first_of
from datasets_tools.split_parts import check_groups
from fashion_mmdet.core.errors import AnnotationError


class Groups:
    """The groups of the user's file, of keys and of hashes, joined where they share an image.

    Args:
        args: those of the command: ``group_by``, ``images``, ``hashes``, ``max_distance``.
        coco: the COCO dictionary to split.
        index: of its file names.
        given: the groups of the user's file.

    Raises:
        FashionError: for a photo in two groups of the file, a key that no image has, a folder
            that is none, or too many photos that cannot be read.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        coco: Mapping[str, Any],
        index: NameIndex,
        given: list[list[str]],
    ) -> None:
        units_of(index, given)  # an image in two groups of the file is a slip of the pen
        self._index = index
        self._notes: list[str] = []
        self._pairs: list[Pair] = []
        self._photo_of: dict[str, Photo] = {}
        links: list[Sequence[str]] = [
            [name for name in map(index.find, group) if name is not None] for group in given
        ]
        self._given = links
        self._by_key: list[list[str]] = []
        for key in args.group_by:
            found, absent = groups_by_key(coco["images"], key, args.annotations)
            self._by_key += found
            if absent:
                without = counted(absent, "image")
                self._notes.append(f"note: {without} without {key!r}, each on its own")
        if args.images:
            bad = BadRows(args.max_bad_rows, args.annotations)
            hashes = hash_photos(args.images, index.file_names, bad, args.hashes, progress=True)
            photos = photos_of("", args.images, hashes)
            self._pairs = find_pairs(photos, args.max_distance, progress=True)
            self._notes += [*bad.summary(), f"copies and near-duplicates: {len(self._pairs):,}"]
            self._photo_of = {photo.file_name: photo for photo in photos}
        near = [[pair.first.file_name, pair.second.file_name] for pair in self._pairs]
        #: file names that stay together, each in one group
        self.all = connected(link for link in [*links, *self._by_key, *near] if link)

    def check(self, lists: Mapping[str, Sequence[str]]) -> None:
        """Raise AnnotationError where a group, from wherever it comes, is in two parts.

        A draw keeps to the groups; lists made elsewhere need not. A photo in no list ties those
        that it is a copy of all the same.
        """
        part_of: dict[str, str] = {}
        for part, names in lists.items():
            for name in names:
                found = self._index.find(name)
                if found is not None:
                    part_of.setdefault(found, part)
        check_groups(self._index, part_of, [*self._given, *self._by_key])
        of_photo = {self._photo_of[n]: p for n, p in part_of.items() if n in self._photo_of}
        leaks = crossing(self._pairs, of_photo)
        if leaks:
            pairs = "; ".join(line.strip() for line in pair_lines(leaks, 5))
            raise AnnotationError(
                "lists: copies and near-duplicates in one part expected, got "
                f"{counted(len(leaks), 'pair')} in two: {pairs}. Look at them, and move them "
                "together; or, where they are none, lower --max-distance."
            )
        for group in self.all:
            listed = {name: part_of[name] for name in group if name in part_of}
            if len(set(listed.values())) > 1:  # else a group or a pair above would cross
                where = first_of([f"{name} in {part}" for name, part in listed.items()])
                ties = first_of([name for name in group if name not in part_of])
                raise AnnotationError(
                    f"lists: images that belong together in one part expected, got {where}, "
                    f"tied by images in no list: {ties}. Look at them, and move them together; or, "
                    "where they are no copies, lower --max-distance."
                )

    def notes(self, lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Yield what is to be said of the groups."""
        yield from self._notes
        sizes = [len(group) for group in self.all if len(group) > 1]
        if sizes:
            yield f"groups: {len(sizes):,} of two photos and more, the largest of {max(sizes):,}"
        small = [part for part, names in lists.items() if 0 < len(names) < max(sizes, default=0)]
        if small:
            yield (
                f"warning: the largest group has {max(sizes):,} photos, more than all of "
                f"{', '.join(small)}; parts of the wanted size cannot be made of such groups"
            )
