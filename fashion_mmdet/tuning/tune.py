"""A point chosen on one half of the photos, and what it brings on the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fashion_mmdet.core.bootstrap import LEVEL, Difference, Draws, Interval
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.operating_point import OperatingPoint
from fashion_mmdet.core.provenance import versions
from fashion_mmdet.core.run_record import utc_now
from fashion_mmdet.reports.compare_table import percent

from .halves import halves
from .measures import MEASURES, Measure
from .photos import Photos
from .search import Tried, search
from .source import Source, require_uncut


@dataclass(frozen=True)
class Gain:
    """A figure of some photos at the reference and at a point.

    Attributes:
        what: the part that the photos play.
        photos: how many.
        instances: how many, without crowds.
        before: at the reference.
        after: at the point, on the same draws of the photos.
        is_fair: whether the point was chosen on other photos.
        is_change: whether the point is another than the reference.
    """

    what: str
    photos: int
    instances: int
    before: Draws
    after: Draws
    is_fair: bool
    is_change: bool

    @property
    def difference(self) -> Difference:
        """After minus before, paired."""
        return self.after.minus(self.before)

    @property
    def verdict(self) -> str:
        """What is to be said, with these photos."""
        if not self.is_change:
            return "nothing was changed"
        if not self.is_fair:
            return "chosen here, so it flatters"
        return self.difference.verdict if self.after.has_interval else "too few photos to say"

    def about(self) -> dict[str, Any]:
        """Return it for a file, figures in 0..1."""
        sides = (self.before.interval, self.after.interval, self.difference)
        return {
            "photos": self.photos,
            "instances": self.instances,
            **{
                name: _plain(side, self.has_interval)
                for name, side in zip(("before", "after", "gain"), sides, strict=True)
            },
            "verdict": self.verdict,
        }

    @property
    def has_interval(self) -> bool:
        """Whether an interval is claimed: the point is of other photos, and these are enough."""
        return self.is_fair and self.after.has_interval

    def row(self) -> list[str]:
        """Return it for a table, figures in percent."""
        gain = self.difference
        cells = [f"{100 * draws.value:.1f}" for draws in (self.before, self.after)]
        change = f"{100 * gain.value:+.1f}"
        if self.has_interval:
            cells = [percent(draws.interval) for draws in (self.before, self.after)]
            change += f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        return [self.what, str(self.photos), str(self.instances), *cells, change, self.verdict]


@dataclass(frozen=True)
class Tuned:
    """What came of a search.

    Attributes:
        metric: key of :data:`.measures.MEASURES`.
        reference: the point that was to be beaten.
        point: the one to write.
        gains: on the photos it was chosen on, on the other half, and on another set if there is
            one.
        tried: rule -> what it promised.
        seed: of the halves.
        on_all: whether the point was chosen again on both halves, so that its gain is not measured.
        remarks: what a reader has to know.
    """

    metric: str
    reference: OperatingPoint
    point: OperatingPoint
    gains: tuple[Gain, ...]
    tried: Mapping[str, Tried]
    seed: int
    on_all: bool
    remarks: tuple[str, ...]

    def table(self) -> list[list[str]]:
        """Return the rows of a table, the head first."""
        head = ["%", "photos", "instances", "before", "after", "gain", ""]
        return [head, *(gain.row() for gain in self.gains)]

    def about(self, source: Source) -> dict[str, Any]:
        """Return what :func:`.write_operating_point` is to say beside the point."""
        measure = MEASURES[self.metric]
        return {
            "metric": self.metric,
            "measures": measure.title,
            "classes": list(source.evidence.classes),
            **source.about(),
            "before": asdict(self.reference),
            "seed": self.seed,
            "interval": LEVEL,
            "gains": {gain.what: gain.about() for gain in self.gains},
            "chosen_again_on_all": self.on_all,
            "tried": {rule: asdict(tried) for rule, tried in self.tried.items()},
            "remarks": list(self.remarks),
            "date_utc": utc_now(),
            "versions": versions(),
        }


def tune(
    source: Source,
    metric: str,
    seed: int = 0,
    on_all: bool = False,
    report_on: tuple[str, Evidence] | None = None,
) -> Tuned:
    """Choose a point for ``metric`` on half of the photos, and measure it on the others.

    Args:
        source: the detections.
        metric: key of :data:`.measures.MEASURES`.
        seed: another seed, other halves.
        on_all: choose again on both halves; what the halves said is then an estimate.
        report_on: name and evidence of other photos to measure the written point on, once.

    Raises:
        FashionError: for evidence without masks, or that a point has cut, or halves without
            instances; for other photos that are the same, of other classes, views or members, or
            without the grids that the point may need.
    """
    measure, evidence = MEASURES[metric], source.evidence
    require_uncut(source.path, evidence)
    photos = Photos(evidence)
    if report_on is not None:
        _require_other(photos, *report_on)
    first, second = halves(photos, seed)
    if not first.instances().size or not second.instances().size:
        raise AnnotationError(
            f"{source.path}: photos with instances for two halves expected, got "
            f"{first.instances().size} and {second.instances().size} instances in them. Take a "
            "larger set."
        )
    reference = replace(measure.reference, mask_threshold=photos.own_threshold)
    chosen = search(measure, first, seed)
    point = chosen.point
    gains = [
        _gain(measure, "half it was chosen on", first, reference, point, False),
        _gain(measure, "other half", second, reference, point, True),
    ]
    if on_all:
        chosen = search(measure, photos, seed)
        point = chosen.point
        gains.append(_gain(measure, "chosen again on all", photos, reference, point, False))
    if report_on is not None:
        name, other = report_on
        gains.append(_gain(measure, name, Photos(other), reference, point, True))
    remarks = tuple(_remarks(source, measure, photos, on_all))
    return Tuned(metric, reference, point, tuple(gains), chosen.tried, seed, on_all, remarks)


def _gain(
    measure: Measure,
    what: str,
    photos: Photos,
    reference: OperatingPoint,
    point: OperatingPoint,
    is_fair: bool,
) -> Gain:
    before, after = (measure.of(photos, p).draws() for p in (reference, point))
    n_instances = int(photos.instances().size)
    is_change = point != reference
    return Gain(what, photos.images.size, n_instances, before, after, is_fair, is_change)


def _require_other(photos: Photos, name: str, other: Evidence) -> None:
    """Refuse to report on photos that cannot tell: the same ones, or such of another model."""
    if other.sha256 == photos.evidence.sha256:
        raise FashionError(
            f"{name}: evidence on other annotations than those tuned on expected, got the same "
            f"({other.annotations}, {other.sha256[:12]}). Leave --report-on out."
        )
    if other.classes != photos.evidence.classes:
        raise FashionError(
            f"{name}: evidence of a model of the same {len(photos.evidence.classes)} classes "
            f"expected, got others ({len(other.classes)}). Give that of the same model."
        )
    require_uncut(name, other)
    if (got := _voters(other)) != (wanted := _voters(photos.evidence)):
        raise FashionError(
            f"{name}: evidence of {wanted}, as that tuned on, expected, got that of {got}. "
            "Evaluate both alike."
        )
    theirs = Photos(other)
    same = theirs.own_threshold == photos.own_threshold
    if not theirs.has_grids and (photos.has_grids or not same):
        raise FashionError(
            f"{name}: evidence with grids expected, as the mask threshold is searched, got masks "
            f"of {theirs.own_threshold:g} alone. Evaluate it with `fashion test --keep-grids`, or "
            "leave --report-on out."
        )
    if not theirs.instances().size:
        raise FashionError(f"{name}: photos with instances expected, got none. Leave it out.")


def _remarks(source: Source, measure: Measure, photos: Photos, on_all: bool) -> list[str]:
    out = []
    if measure.name == "ap":
        out.append(
            "AP never gains by a score threshold or a count, so none was searched; what is kept "
            "for AP is too much for anything else."
        )
    if on_all:
        out.append(
            "the point written was chosen again on all of these photos: its gain is not measured "
            "on them; the other half's is an estimate, of a point chosen in the same way."
        )
    if not photos.has_grids:
        out.append(
            f"mask_threshold was left at {photos.own_threshold:g}, as the evidence holds no grids. "
            "`fashion test CONFIG CHECKPOINT --split val --keep-grids` leaves evidence with them."
        )
    if photos.evidence.made_with:
        out.append(
            f"the detections are those of {_voters(photos.evidence)}: the point is for "
            f"{_options(photos.evidence)}, not for the model alone."
        )
    lacking = int((~photos.evidence.predicted).sum())
    if lacking:
        out.append(f"{lacking} photos that the model did not see were left out.")
    if source.is_test:
        out.append(
            f"{source.evidence.annotations} is the run's test set: with a point chosen on it, what "
            "is measured there is no test any more."
        )
    return out


def _voters(evidence: Evidence) -> str:
    """Return in words who saw the photos."""
    made_with = evidence.made_with
    views, members = made_with.get("views", 1), made_with.get("members", [])
    what = f"{views} view{'s' if views > 1 else ''} of each photo"
    what += " (--tta)" if views > 1 else ""
    with_them = f" with {', '.join(members)} (--ensemble)" if members else ""
    return f"{what} by the run's model{with_them}"


def _options(evidence: Evidence) -> str:
    """Return the options of ``fashion test`` that make such detections."""
    given = [("--tta", evidence.made_with.get("views", 1) > 1)]
    given.append(("--ensemble", bool(evidence.made_with.get("members"))))
    return " ".join(option for option, is_given in given if is_given) or "--tta"


def _plain(interval: Interval, has_interval: bool) -> dict[str, Any]:
    ends = (interval.low, interval.high) if has_interval else (None, None)
    return {"value": float(interval.value)} | {
        name: None if end is None else float(end)
        for name, end in zip(("low", "high"), ends, strict=True)
    }
