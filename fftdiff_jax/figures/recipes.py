"""The table and the figure of `experiments.compare`: quality against steps, and the trade-off.

A row is what `screening.screen` returns plus recipe, seed, steps, draws and realism; rows of
several seeds become one with mean and spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from fftdiff_jax.metrics.scores import SCORES

_PSNR_Y, *_OTHERS = ((score.key, score.title, f".{score.digits}f") for score in SCORES.values())
COLUMNS = (
    _PSNR_Y,
    ("whole_psnr_y", "cut from whole", ".2f"),
    *_OTHERS,
    ("frechet_2", "Fréchet 2", ".1f"),
    ("frechet_3", "Fréchet 3", ".1f"),
    ("draw_psnr_y", "one draw, PSNR Y", ".2f"),
    ("draw_lpips_vgg", "its LPIPS VGG", ".4f"),
    ("draw_frechet_2", "its Fréchet 2", ".1f"),
    ("draw_frechet_3", "its Fréchet 3", ".1f"),
    ("spread_over_error", "spread/error", ".2f"),
    ("spread_error_correlation", "correlation", ".2f"),
)
# Names in results.json files of before, and what they are called since.
FORMER_NAMES = {"lpips_alexnet": "lpips", "lpips_vgg16": "lpips_vgg"}
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = "sD^"  # of the first recipes, of those whose colours are used again, and so on
JUDGE = "lpips_vgg"  # the loss knows the other network


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, one line a recipe and way of sampling; seeds as mean ± std.

    It has the columns that some row has a value for.
    """
    head = ["recipe", "seeds", "training steps", "steps", "realism", "draws"]
    groups = _groups(rows)
    known = {name for group in groups.values() for row in group for name in row}
    columns = [column for column in COLUMNS if column[0] in known]
    lines = [" | ".join([*head, *(title for _, title, _ in columns)])]
    lines.append(" | ".join(["---"] * (len(head) + len(columns))))
    for (recipe, steps, realism, draws), group in groups.items():
        # In equal minutes every seed has as many as its machine managed.
        trained = [row["training_steps"] for row in group]
        trained = trained if len(set(trained)) > 1 else trained[:1]
        words = [
            recipe,
            str(len({row["seed"] for row in group})),
            "" if recipe == "rainy" else _mean_and_spread(trained, ".0f"),
            str(steps or ""),
            f"{realism:g}" if draws else "",
            str(draws),
        ]
        for name, _, form in columns:
            values = [row[name] for row in group if name in row]
            words.append(_mean_and_spread(values, form))
        lines.append(" | ".join(words))
    return "".join(f"| {line} |\n" for line in lines)


def comparison_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """PSNR and perceptual distance against steps, and against each other; a colour a recipe.

    A star is the first estimate; dashed lines are draws that stay nearer to it. The rainy photos'
    own scores stand in the legend.
    """
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    against_steps, perceptual, trade = figure.subplots(1, 3)
    groups = _groups(rows)
    recipes = [name for name in dict.fromkeys(recipe for recipe, *_ in groups) if name != "rainy"]
    counts = sorted({steps for _, steps, *_ in groups if steps > 0})
    for i, recipe in enumerate(recipes):
        colour = COLOURS[i % len(COLOURS)]
        curves: dict[float, dict[tuple, list[dict[str, Any]]]] = {}
        for key, group in sorted(groups.items()):
            if key[0] == recipe:
                realism = key[2] if key[3] else 0.0  # where every draw is the first estimate
                curves.setdefault(realism, {})[key] = group
        for realism, mine in sorted(curves.items()):
            mark = MARKS[i // len(COLOURS) % len(MARKS)] + ("-" if realism == 1 else "--")
            label = f"{recipe}, draws" if realism == 1 else f"{recipe}, realism {realism:g}"
            if realism == 0:
                mark, label = "*", recipe
            steps = [key[1] for key in mine]
            psnr, distance = (
                [statistics.fmean(row[name] for row in group) for group in mine.values()]
                for name in ("psnr_y", JUDGE)
            )
            against_steps.plot(steps, psnr, mark, color=colour, label=label, markersize=4)
            perceptual.plot(steps, distance, mark, color=colour, markersize=4)
            trade.plot(distance, psnr, mark, color=colour, markersize=4)
    rainy = [row for row in map(_with_names_of_today, rows) if row["recipe"] == "rainy"]
    if rainy:
        up, across = (statistics.fmean(row[name] for row in rainy) for name in ("psnr_y", JUDGE))
        # In words: on the axes it would be far off, and press the recipes together.
        label = f"rainy: {up:.2f} dB, {across:.3f}"
        against_steps.plot([], [], " ", label=label)
    for axes in (against_steps, perceptual):
        axes.set_xscale("log")
        axes.set_xticks(counts, labels=[str(count) for count in counts])
        axes.minorticks_off()
    against_steps.set(xlabel="steps", ylabel="PSNR on Y (dB)")
    perceptual.set(xlabel="steps", ylabel="LPIPS, VGG")
    trade.locator_params(axis="x", nbins=4)
    trade.set(xlabel="LPIPS, VGG (lower is better)", ylabel="PSNR on Y (dB)")
    for axes in (against_steps, perceptual, trade):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _groups(rows: Sequence[dict[str, Any]]) -> dict[tuple, list[dict[str, Any]]]:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in map(_with_names_of_today, rows):
        key = (row["recipe"], row["steps"], row["realism"], row["draws"])
        groups.setdefault(key, []).append(row)
    return groups


def _with_names_of_today(row: dict[str, Any]) -> dict[str, Any]:
    return {FORMER_NAMES.get(name, name): value for name, value in row.items()}


def _mean_and_spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    text = format(statistics.fmean(values), form)
    return f"{text} ± {format(statistics.stdev(values), form)}" if len(values) > 1 else text
