"""The plots of a report: each in two looks, of a sane size, whatever there is to draw."""

from __future__ import annotations

import io
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from datasets_tools.stats.style import DARK, LIGHT, figure
from fashion_mmdet.core.curves import average_precisions
from fashion_mmdet.core.loss_curve import LossPoint
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.ontology import CLASSES
from fashion_mmdet.reports import learning, plots, speed
from fashion_mmdet.reports.looks import looks, looks_of, run_name

pytestmark = pytest.mark.slow  # each plot is drawn in both looks

NAMES = ["mask_rcnn_r50", "mask_rcnn_r101", "a run $with$ a {name} that is much longer than a plot"]
NAN = float("nan")


def run(name: str, epochs: int = 4, by_epoch: bool = True, n_losses: int = 50, seed: int = 0):
    """Return what plots read of a run."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image_id in range(1, 9):
        box = [*rng.integers(0, 40, 2).tolist(), 30, 30]
        label = int(rng.integers(3))
        truth.append({"image_id": image_id, "category_id": label, "bbox": box, "area": 900,
                      "iscrowd": 0})  # fmt: skip
        found.append({"image_id": image_id, "label": label if rng.random() < 0.7 else 0,
                      "bbox": [box[0] + 2, *box[1:]], "area": 900,
                      "score": float(rng.random())})  # fmt: skip
    validations = tuple(
        SimpleNamespace(epoch=e if by_epoch else 0, iter=100 * e,
                        metrics={"coco/bbox_mAP": 0.1 * e if e != 2 else None})
        for e in range(1, epochs + 1)
    )  # fmt: skip
    losses = tuple(LossPoint(8 * n, 8, {"loss": 2 / n, "loss_cls": 1 / n})
                   for n in range(1, n_losses + 1))  # fmt: skip
    sessions = (SimpleNamespace(to_epoch=epochs if by_epoch else 0, to_iter=100 * epochs),)
    return SimpleNamespace(
        name=name, kind="bbox",
        record=SimpleNamespace(validations=validations, losses=losses, sessions=sessions),
        evidence=SimpleNamespace(classes=("a", "b", "c", "none of it"),
                                 matches={"bbox": match(range(1, 9), truth, found, "bbox")}),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        yield


def assert_sane(plot: plots.Plot, least_px: int = 200, most_px: int = 4000) -> None:
    sizes = []
    for content, theme in ((plot.light_png, LIGHT), (plot.dark_png, DARK)):
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG"
            sizes.append(image.size)
            pixels = np.asarray(image.convert("RGB"))
        assert to_hex(pixels[-1, -1] / 255) == theme.ground
        assert (pixels != pixels[-1, -1]).any(axis=-1).mean() > 0.001  # something is drawn
    assert sizes[0] == sizes[1]
    assert least_px <= min(sizes[0]) and max(sizes[0]) <= most_px
    assert plot.title and plot.text.endswith(".")


def many(n: int) -> list[str]:
    return [f"run_{i}" for i in range(n)]


@pytest.mark.parametrize(
    "runs",
    [
        [run(name, seed=n) for n, name in enumerate(NAMES)],
        [run("one")],
        [run("one epoch", epochs=1, n_losses=1)],
        [run("by iteration", by_epoch=False), run("by epoch")],
        [run("nothing", epochs=0, n_losses=0)],
        [run(name, seed=n) for n, name in enumerate(many(12))],
        [],
    ],
    ids=["three", "one", "one epoch", "mixed", "nothing", "twelve", "none"],
)
def test_learning_and_pr_curves_draw_what_there_is(runs):
    assert_sane(plots.learning_curves(runs))
    assert_sane(plots.pr_curves(runs))


def test_learning_curves_by_iteration_where_one_run_counts_no_epochs(monkeypatch):
    labels = []

    def noting(draw):
        made = draw(LIGHT)
        labels.append({axes.get_xlabel() for axes in made.axes})
        labels.append([line.get_xdata().max() for line in made.axes[0].lines])
        return b"", b""

    monkeypatch.setattr(learning, "render_both", noting)
    plots.learning_curves([run("one"), run("other", by_epoch=False)])
    plots.learning_curves([run("one"), run("other", epochs=2)])
    assert labels == [{"iteration"}, [400, 400], {"epoch"}, [4, 2 - 1]]  # the second is None


def test_pr_curves_are_the_mean_over_classes_with_instances(monkeypatch):
    drawn = []

    def noting(draw):
        drawn.extend(axes.lines[0].get_ydata() for axes in draw(LIGHT).axes)
        return b"", b""

    monkeypatch.setattr(plots, "render_both", noting)
    one = run("one")
    plots.pr_curves([one])
    ap_KT = average_precisions(one.evidence.matches["bbox"], 4)[0]
    assert drawn[0].mean() == pytest.approx(np.nanmean(ap_KT[:, 0]), abs=1e-12)
    assert drawn[1].mean() == pytest.approx(np.nanmean(ap_KT[:, 5]), abs=1e-12)
    assert 0.05 < drawn[1].mean() < 0.95


@pytest.mark.parametrize(
    ("names", "n_classes"), [(NAMES, 26), (["one"], 1), (many(12), 49)], ids=["3", "1", "12"]
)
def test_ap_by_class_and_group_and_size_are_sane(names, n_classes):
    rng = np.random.default_rng(0)
    classes = CLASSES[:n_classes]
    values = {name: {c: float(rng.random()) for c in classes} for name in names}
    values[names[0]][classes[0]] = NAN
    counts = {c: int(rng.integers(1, 20000)) for c in classes}
    assert_sane(plots.ap_by_class(names, values, counts))
    assert_sane(plots.ap_by_group(names, values, counts))
    sizes = {name: {"small": None, "medium": 0.2, "large": 0.5} for name in names}
    assert_sane(plots.size_bins(names, sizes))


def test_ap_by_class_is_sorted_by_instances_and_without_empty_classes(monkeypatch):
    rows = []

    def noting(draw):
        (axes,) = draw(LIGHT).axes
        rows.extend(label.get_text() for label in axes.get_yticklabels())
        rows.append(axes.collections[1].get_offsets().data.tolist())
        return b"", b""

    monkeypatch.setattr("fashion_mmdet.reports.class_plots.render_both", noting)
    values = {"one": {"dress": 0.25, "shoe": 0.5, "hat": 0.1}}
    plots.ap_by_class(["one"], values, {"dress": 5, "hat": 0, "shoe": 80})
    assert rows == ["shoe", "dress", [[0.5, 0.0], [0.25, 1.0]]]


def test_plots_without_values_say_so():
    assert_sane(plots.ap_by_class(["one"], {"one": {"dress": NAN}}, {"dress": 3}))
    assert_sane(plots.ap_by_class([], {}, {}))
    assert_sane(plots.ap_by_group(["one"], {}, {"head": 2}))
    assert_sane(plots.size_bins(["one"], {"one": {"small": None, "medium": None, "large": NAN}}))
    assert_sane(plots.size_bins([], {}))
    assert_sane(plots.speed_against_ap([], "a GPU"))
    assert_sane(plots.speed_against_ap([("one", None, 0.3, 0.2, 0.4)], "a GPU"))
    assert_sane(plots.confusion_plot(np.zeros((4, 4)), ["a", "b", "c"]))
    assert_sane(plots.calibration_plot({}, {}))
    empty = np.full(5, NAN)
    assert_sane(plots.calibration_plot({"one": (empty, empty, np.zeros(5))}, {"one": NAN}))
    assert_sane(plots.intervals_plot([]))
    assert_sane(plots.intervals_plot([("one", NAN, NAN, NAN)]))


def test_speed_against_ap_names_the_front_and_what_has_no_speed():
    points = [
        ("slow and good", 5.0, 0.40, 0.35, 0.45),
        ("fast and poor", 50.0, 0.20, 0.15, 0.25),
        ("beaten", 4.0, 0.30, 0.25, 0.35),
        ("beaten in speed alone", 4.5, 0.40, NAN, NAN),
        ("unmeasured", None, 0.50, 0.4, 0.6),
    ]
    plot = plots.speed_against_ap(points, "one H100")
    assert_sane(plot)
    assert "in both: slow and good, fast and poor." in plot.text
    assert "not drawn: unmeasured." in plot.text and "one H100" in plot.text
    assert "beaten" not in plot.text


def test_speed_names_do_not_cover_each_other():
    made, (axes,) = figure(9.4, 4.4)
    rng = np.random.default_rng(1)
    x, y = 10 + rng.random(6), 0.3 + 0.02 * rng.random(6)
    axes.set_xlim(8, 14)
    axes.set_ylim(0.2, 0.4)
    speed._name_points(axes, x, y, [f"mask_rcnn_r50_seed_{n}" for n in range(6)], LIGHT)
    made.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("n_classes", [1, 49])
def test_confusion_plot_stays_readable_with_any_number_of_classes(n_classes):
    rng = np.random.default_rng(0)
    matrix = rng.poisson(0.3, (n_classes + 1, n_classes + 1)) + 40 * np.eye(n_classes + 1)
    plot = plots.confusion_plot(matrix, CLASSES[:n_classes])
    assert_sane(plot, least_px=500)


def test_confusion_plot_shows_shares_of_whole_rows(monkeypatch):
    shown = []

    def noting(draw):
        axes = draw(LIGHT).axes[0]
        shown.append(np.asarray(axes.images[0].get_array()))
        shown.append({t.get_text() for t in axes.texts})
        return b"", b""

    monkeypatch.setattr("fashion_mmdet.reports.class_plots.render_both", noting)
    # 'hat' has no instance; a dress taken for one is still a dress not found.
    matrix = np.array([[6, 2, 0, 2], [0, 0, 0, 0], [0, 0, 19, 1], [3, 1, 0, 0]])
    plot = plots.confusion_plot(matrix, ["dress", "hat", "shoe"])
    assert shown[0].tolist() == [[0.6, 0.0, 0.2], [0.0, 0.95, 0.05], [0.75, 0.0, 0.0]]
    assert shown[1] == {"6", "2", "19", "3"}
    assert "Classes without instances (1) are not shown." in plot.text


@pytest.mark.parametrize("names", [NAMES, ["one"], many(12)], ids=["three", "one", "twelve"])
def test_calibration_and_intervals_are_sane(names):
    score = np.linspace(0.05, 0.95, 10)
    count = np.array([4000, 900, 300, 0, 90, 40, 30, 30, 60, 200])
    curves = {name: (np.where(count, score, NAN), score**1.3, count) for name in names}
    assert_sane(plots.calibration_plot(curves, {name: 0.07 for name in names}))
    rows = [(name, 0.3 + 0.01 * n, 0.28, 0.36) for n, name in enumerate(names)]
    assert_sane(plots.intervals_plot(rows))


def test_looks_are_constant_for_a_run_and_differ_between_runs():
    assert len({(k.colour, str(k.dashes)) for k in looks(20, LIGHT)}) == 20
    assert looks_of(["c", "a"], ["a", "b", "c"], DARK) == [looks(3, DARK)[2], looks(1, DARK)[0]]
    assert looks(1, LIGHT)[0].colour != looks(1, DARK)[0].colour


def test_run_name_keeps_both_ends():
    assert run_name("short") == "short"
    cut = run_name("mask_rcnn_r50_fpn_fashion_long_schedule_seed_1")
    assert len(cut) == 36 and cut.startswith("mask_rcnn") and cut.endswith("seed_1")
    assert "\n" not in run_name("two\nlines")
