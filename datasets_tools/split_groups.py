"""What may not be parted: the groups of a split, from wherever they come."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from datasets_tools.folders import absent_photos
from datasets_tools.name_lists import (
    NameIndex,
    connected,
    groups_by_key,
    read_groups,
    units_of,
)
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
from fashion_mmdet.core.errors import AnnotationError, FashionError


def fit_line(
    index: NameIndex,
    groups: Sequence[Sequence[str]],
    where: str | os.PathLike[str],
    listed: Collection[str] = (),
) -> str:
    """Return how many groups of a file take effect, in words; refuse a file that does not fit.

    A group file of which nothing fits is worse than none: the near-duplicates are parted, and all
    looks well. The set may be a part of the one that the groups were made of, so names that it
    lacks are fine as long as some group has two photos; names that differ from its own by
    folders alone are not, since they are of photos that are there.

    Args:
        index: of the file names of the set.
        groups: as :func:`.read_groups` reads them; none at all is fine (dedupe found no pair).
        where: the file of the groups.
        listed: names of the lists that the set is split by: one of them may lack its photo here
            without the group file being the wrong one.

    Raises:
        FashionError: for a file with one name a line, with names of photos that are here by
            another name, or none of whose groups has two photos here.
    """
    whole = [set(group) for group in groups if len(set(group)) > 1]
    if groups and not whole:
        raise FashionError(
            f"{where}: groups of two names or more a line expected, got {len(groups):,} lines of "
            "one, as in a list of photos. Give the file that fashion data dedupe writes as --out."
        )
    absent = [name for group in groups for name in group if index.find(name) is None]
    renamed = [(name, there) for name in absent if (there := index.elsewhere(name)) is not None]
    if renamed:
        name, there = renamed[0]
        raise FashionError(
            f"{where}: file names as in the annotation file expected, got {len(renamed):,} of "
            f"{sum(map(len, groups)):,} that differ by their folders, such as {name} for {there}. "
            "Those photos would be parted: make the groups anew, by fashion data dedupe of this "
            "very annotation file."
        )
    here = sum(len({index.find(name) for name in group} - {None}) > 1 for group in whole)
    known = {os.path.splitext(name)[0] for name in listed} | set(listed)
    of_list = any(name in known or os.path.splitext(name)[0] in known for name in absent)
    if whole and not here and not of_list:
        raise FashionError(
            f"{where}: groups of photos of the annotation file expected, got "
            f"{counted(len(whole), 'group')}, none with two photos here: it lacks "
            f"{first_of(absent, 3)}. Give the groups of this set; where it is a small part of "
            "their set, there is nothing to keep together, and they can be left out."
        )
    return f"groups: {here:,} of {len(whole):,} groups with two photos or more here ({where})"


class Groups:
    """The groups of the user's file, of keys and of hashes, joined where they share an image.

    Args:
        args: those of the command: ``group_by``, ``images``, ``hashes``, ``max_distance``.
        coco: the COCO dictionary to split.
        index: of its file names.
        path: the user's file of groups; None: there is none.
        listed: the names of the lists to split by; none for a draw.

    Raises:
        FashionError: for a file of groups that does not fit (see :func:`fit_line`), a photo in
            two groups of it, a key that no image has, a folder that is none or lacks most of the
            photos, or too many photos that cannot be read.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        coco: Mapping[str, Any],
        index: NameIndex,
        path: str | os.PathLike[str] | None,
        listed: Collection[str] = (),
    ) -> None:
        #: the groups of the user's file
        self.given = given = read_groups(path) if path else []
        units_of(index, given)  # an image in two groups of the file is a slip of the pen
        self._index = index
        self._notes = [fit_line(index, given, path, listed)] if path else []
        self._pairs: list[Pair] = []
        self._photo_of: dict[str, Photo] = {}
        links: list[Sequence[str]] = [
            [name for name in map(index.find, group) if name is not None] for group in given
        ]
        self._links = links
        self._by_key: list[list[str]] = []
        for key in args.group_by:
            found, absent = groups_by_key(coco["images"], key, args.annotations)
            self._by_key += found
            if absent:
                without = counted(absent, "image")
                self._notes.append(f"note: {without} without {key!r}, each on its own")
        if args.images:
            absent_photos(args.images, index.file_names, args.annotations)
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
        check_groups(self._index, part_of, [*self._links, *self._by_key])
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
