"""The table and the figure of `experiments.compare`: quality against steps, and the trade-off.

A row is what `screening.screen` says plus recipe, seed, steps, draws and noise_scale; rows of
several seeds become one with mean and spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

COLUMNS = (
    ("psnr_y", "PSNR Y", ".2f"),
    ("ssim_y", "SSIM Y", ".3f"),
    ("lpips_alexnet", "LPIPS Alex", ".3f"),
    ("lpips_vgg16", "LPIPS VGG", ".3f"),
    ("draw_psnr_y", "one draw, PSNR Y", ".2f"),
    ("spread_over_error", "spread/error", ".2f"),
    ("spread_error_correlation", "correlation", ".2f"),
)
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
JUDGE = "lpips_vgg16"  # the loss knows the other network


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, one line a recipe and way of sampling; seeds as mean +- deviation."""
    head = ["recipe", "seeds", "training steps", "steps", "noise", "draws"]
    lines = [" | ".join([*head, *(title for _, title, _ in COLUMNS)])]
    lines.append(" | ".join(["---"] * (len(head) + len(COLUMNS))))
    for (recipe, steps, scale, draws), group in _groups(rows).items():
        words = [
            recipe,
            str(len({row["seed"] for row in group})),
            "" if recipe == "rainy" else str(group[0]["training_steps"]),
            str(steps or ""),
            f"{scale:g}" if steps > 1 else "",
            str(draws),
        ]
        for name, _, form in COLUMNS:
            values = [row[name] for row in group if name in row]
            words.append(_mean_and_spread(values, form))
        lines.append(" | ".join(words))
    return "".join(f"| {line} |\n" for line in lines)


def comparison_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """PSNR and perceptual distance against steps, and against each other; a colour a recipe."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    against_steps, perceptual, trade = figure.subplots(1, 3)
    groups = _groups(rows)
    recipes = list(dict.fromkeys(recipe for recipe, *_ in groups))
    for i, recipe in enumerate(recipes):
        colour = COLOURS[i % len(COLOURS)]
        for scale, mark in ((0.0, "o--"), (1.0, "s-")):
            mine = {
                key: group
                for key, group in groups.items()
                if key[0] == recipe and (key[2] == scale or (key[1] == 1 and scale == 1.0))
            }
            if not mine or (recipe == "rainy" and scale == 1.0):
                continue
            steps = [max(key[1], 1) for key in mine]
            psnr, distance = (
                [statistics.fmean(row[name] for row in group) for group in mine.values()]
                for name in ("psnr_y", JUDGE)
            )
            label = f"{recipe}, refined" if scale == 0 and recipe != "rainy" else recipe
            against_steps.plot(steps, psnr, mark, color=colour, label=label, markersize=4)
            perceptual.plot(steps, distance, mark, color=colour, markersize=4)
            trade.plot(distance, psnr, mark, color=colour, markersize=4)
    against_steps.set(xlabel="steps", ylabel="PSNR on Y (dB)", xscale="log")
    perceptual.set(xlabel="steps", ylabel="LPIPS, VGG", xscale="log")
    trade.set(xlabel="LPIPS, VGG (lower is better)", ylabel="PSNR on Y (dB)")
    for axes in (against_steps, perceptual, trade):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _groups(rows: Sequence[dict[str, Any]]) -> dict[tuple, list[dict[str, Any]]]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["recipe"], row["steps"], row["noise_scale"], row["draws"])
        groups.setdefault(key, []).append(row)
    return groups


def _mean_and_spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    text = format(statistics.fmean(values), form)
    return f"{text} ± {format(statistics.stdev(values), form)}" if len(values) > 1 else text
