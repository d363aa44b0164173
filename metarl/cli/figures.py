"""Figures that the commands write."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from metarl.fewshot.analyse import LayerChange

FIGURE_TYPES = ("png", "pdf", "svg")


def draw_layers(changes: list[LayerChange], file: Path) -> None:
    """Draw how far each layer moves, and how similar its features stay, with 95 % intervals."""
    figure = Figure(figsize=(7.0, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = [c.layer for c in changes]
    left.bar(layers, [c.moved for c in changes], yerr=[c.moved_ci95 for c in changes])
    left.set_yscale("log")
    left.set_ylabel("moved, ‖φ − θ‖ / ‖θ‖")
    right.bar(
        layers,
        [c.similarity for c in changes],
        yerr=[c.similarity_ci95 for c in changes],
        color="tab:green",
    )
    right.set_ylim(0.0, 1.05)
    right.set_ylabel("similarity of features (CKA)")
    for axis in (left, right):
        axis.tick_params(axis="x", rotation=30)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
