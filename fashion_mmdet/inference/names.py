"""What the outputs of each photo are called: apart from each other, and the same in every run."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .inputs import Source

#: Bytes of a part of a name; 255 are allowed, and suffixes and unfinished files add some.
_MOST_BYTES = 180
#: What some system does not allow in a name.
_UNSAFE = re.compile(r'[\\\\:*?"<>|\x00-\x1f]')
#: Of files that are called by a name; a folder of a photo's name may lie beside them.
_SUFFIXES = (".jpg", ".webm")


def named_apart(sources: Sequence[Source], known: Mapping[str, str]) -> list[Source]:
    """Return the sources with names for their outputs, of which no two are one file.

    A name is the file's without its suffix, where no other has it, whatever the case: ``a.jpg`` and
    ``a.png`` would write one picture. What some system cannot hold in a name becomes ``_``.

    Args:
        sources: in order; the first of equals keeps its name.
        known: absolute path -> name, of an earlier run: it keeps its name, whoever is first now.
    """
    taken = _Taken()
    for name in known.values():
        taken.add(name)
    out = []
    for source in sources:
        path = os.path.abspath(source.path)
        if path in known:
            out.append(replace(source, name=known[path]))
            continue
        whole = _safe(source.file_name)
        stem = _safe(posixpath.splitext(source.file_name)[0])
        number, chosen = 1, stem
        while not taken.allows(chosen):
            number += 1
            # Out of its folder, which may be called as a picture is.
            chosen = whole if number == 2 else f"{stem.replace('/', '_')}_{number}"
        taken.add(chosen)
        out.append(replace(source, name=chosen))
    return out


class _Taken:
    """The files that names stand for, and the folders that they lie in."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str) -> None:
        self._names.add(name.lower())
        self._files |= _files_of(name)
        self._folders |= _folders_of(name)

    def allows(self, name: str) -> bool:
        return (
            name.lower() not in self._names
            and not _files_of(name) & self._folders
            and not _folders_of(name) & self._files
        )


def _files_of(name: str) -> set[str]:
    return {f"{name.lower()}{suffix}" for suffix in _SUFFIXES}


def _folders_of(name: str) -> set[str]:
    parts = name.lower().split("/")
    return {"/".join(parts[:n]) for n in range(1, len(parts))}


def _safe(name: str) -> str:
    parts = []
    for part in _UNSAFE.sub("_", name).split("/"):
        raw = os.fsencode(part)
        if len(raw) > _MOST_BYTES:
            digest = hashlib.sha256(raw).hexdigest()[:8]
            part = f"{raw[:_MOST_BYTES].decode('utf-8', 'ignore')}~{digest}"
        parts.append(part if part not in ("", ".", "..") else "_")
    return "/".join(parts)
