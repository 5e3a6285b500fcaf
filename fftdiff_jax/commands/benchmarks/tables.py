"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]


def markdown(found: Row, parts: Sequence[str] | None = None) -> str:
    """All parts of the results, or some of them, each with the machine that it was measured on."""
    texts = []
    for part, table in _TABLES.items():
        if part in found and (parts is None or part in parts):
            origin = found.get("measured", {}).get(part, found)
            texts.append(f"### {part}\n\n{_origin(origin)}\n\n{table(found[part])}")
    return "\n\n".join(texts) or "nothing measured yet"


def _origin(origin: Row) -> str:
    versions = origin["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("jax", "flax", "python"))
    return f"{origin['device']}; {named}."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _train(found: Row) -> str:
    between = found["step_spread"]
    rows = [
        ["seconds a step (median)", f"{found['step_seconds']:.3f}"],
        [
            f"least and most of {between['runs']} runs",
            f"{between['least']:.3f} to {between['most']:.3f}",
        ],
        ["images a second", f"{found['images_per_second']:.1f}"],
        ["operations a step", f"{found['flops_per_step'] / 1e9:.2f} GFLOP"],
        ["of these in convolutions and products", f"{found['flops_products'] / 1e9:.2f} GFLOP"],
        ["rate", f"{found['flops_per_second'] / 1e9:.1f} GFLOP/s"],
        [
            f"matrix product, {found['matmul_dtype']}, side {found['matmul_side']}",
            f"{found['matmul_flops_per_second'] / 1e9:.1f} GFLOP/s",
        ],
        ["**share of the matrix product**", f"**{100 * found['share_of_matmul']:.1f} %**"],
        ["parameters", f"{found['parameters']:,}"],
        ["batch", f"{found['batch_size']} crops of side {found['crop_size']}"],
        ["peak memory", _memory(found)],
    ]
    return _table(["", "value"], rows)


def _data(found: Row) -> str:
    rate = found["pairs_per_second"]
    rows = []
    for name in ("manifest", "tfds", "numpy_loop"):
        between = found["spread"][name]
        first = found["first_pass_seconds"].get(name)
        rows.append(
            [
                name,
                f"{rate[name]:.0f}",
                f"{between['least']:.0f} to {between['most']:.0f}",
                f"{rate[name] / rate['numpy_loop']:.1f}",
                "" if first is None else f"{first:.2f}",
            ]
        )
    heads = ["source", "pairs a second", "range", "times the NumPy loop", "s to decode all once"]
    share = f"A training loop waits for data {100 * found['waiting_share']:.2f} % of the time."
    return f"{_table(heads, rows)}\n\n{share}"


def _startup(found: Row) -> str:
    rows = [
        [
            name,
            f"{found[f'{name}_seconds']:.1f}",
            f"{found['spread'][name]['least']:.1f} to {found['spread'][name]['most']:.1f}",
        ]
        for name in ("cold", "cached")
    ]
    return _table(["start", "s to the first finished step", "range"], rows)


def _sample(rows: list[Row]) -> str:
    heads = ["photo", "megapixels", "pixels of tiles", "steps", "draws", "s a photo"]
    heads += ["s a megapixel and evaluation", "share of the matrix product", "peak"]
    return _table(heads, [_photo(row) for row in rows])


def _photo(row: Row) -> list[str]:
    megapixels = row["megapixels"]
    # The network looks at a photo once, and then in every step of every draw.
    each = row["seconds"] / megapixels / (1 + row["steps"] * row["draws"])
    return [
        f"{row['height']}x{row['width']}",
        f"{megapixels:.2f}",
        f"{row['tiled_pixels']:.2f} x",
        str(row["steps"]),
        str(row["draws"]),
        f"{row['seconds']:.2f}",
        f"{each:.2f}",
        f"{100 * row['share_of_matmul']:.0f} %" if row["share_of_matmul"] else "",
        _memory(row),
    ]


def _growth(found: Row) -> str:
    texts = []
    heads = ["parameters", "s a step", "images a second", "GFLOP a step", "GFLOP/s", "peak memory"]
    for name, label in (("crop", "crop"), ("batch", "batch"), ("width", "widths")):
        rows = [
            [
                str(row[label]),
                f"{row['parameters']:,}",
                f"{row['step_seconds']:.3f}",
                f"{row['images_per_second']:.2f}",
                f"{row['flops_per_step'] / 1e9:.1f}",
                f"{row['flops_per_step'] / row['step_seconds'] / 1e9:.0f}",
                _memory(row),
            ]
            for row in found[name]
        ]
        texts.append(f"{_table([label, *heads], rows)}")
    return "\n\n".join([*texts, _sample(found["photo"])])


def _profile(found: Row) -> str:
    groups = [
        [row["part"], row["kind"], f"{100 * row['share']:.1f} %", f"{1e3 * row['seconds']:.1f}"]
        for row in found["groups"]
        if row["share"] >= 0.005
    ]
    single = [
        [row["name"], row["kind"], row["origin"][-70:], f"{1e3 * row['seconds']:.2f}"]
        for row in found["operations"]
    ]
    return "\n\n".join(
        (
            _table(["part", "kind", "share", "ms a step, over all threads"], groups),
            _table(["operation", "kind", "origin", "ms a step"], single),
        )
    )


def _memory(row: Row) -> str:
    host = f"{row['peak_rss_mb']:.0f} MB"
    return f"{host}, device {row['peak_device_mb']:.0f} MB" if row.get("peak_device_mb") else host


_TABLES: dict[str, Callable[[Any], str]] = {
    "train": _train,
    "data": _data,
    "startup": _startup,
    "sample": _sample,
    "growth": _growth,
    "profile": _profile,
}
