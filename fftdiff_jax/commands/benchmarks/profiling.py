"""What a training step spends its time on, by part of the model and kind of operation."""

from __future__ import annotations

import collections
import math
import re
import tempfile
from pathlib import Path
from typing import Any

import jax

from fftdiff_jax.commands.benchmarks import timing
from fftdiff_jax.commands.benchmarks.training import Training
from fftdiff_jax.config import Config

DEAREST = 20  # single operations that are listed

# `%name = type opcode(...), calls=%computation, metadata={op_name="jit(step)/..."}`
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = .*?\s([\w\-]+)\(")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLS = re.compile(r"calls=%?([\w.\-]+)")
_ORIGIN = re.compile(r'op_name="([^"]*)"')
_SHAPE = re.compile(r"= \w+\[([\d,]+)\]")
_WINDOW = re.compile(r"window=\{size=([\dx]+)")
_OUTPUT = re.compile(r"dim_labels=\w+->(\w+)")

_PARTS = (
    ("perceptual term", re.compile("AlexNet|VGG|perceptual|lpips", re.IGNORECASE)),
    ("normalisation", re.compile("norm/")),
    ("network", re.compile("unet")),
)


def measure_profile(config: Config, *, steps: int) -> dict[str, Any]:
    """Traces steps with jax.profiler and adds up the operations' times.

    Times are summed over the device's threads, so on two cores they add up to more than a step.
    """
    training = Training(config)
    lowered = training.train_step.lower(*training.arguments)  # type: ignore[attr-defined]
    program = describe(lowered.compile().as_text())
    jax.block_until_ready(training.run(2))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            seconds = timing.timed(lambda: training.run(steps)) / steps
        spent = _times(Path(folder), program)
    total = sum(spent.values()) or 1.0
    groups: collections.Counter[tuple[str, str]] = collections.Counter()
    for name, nanoseconds in spent.items():
        groups[program[name]["part"], program[name]["kind"]] += nanoseconds
    return {
        "step_seconds": seconds,
        "groups": [
            {"part": part, "kind": kind, "share": value / total, "seconds": value / 1e9 / steps}
            for (part, kind), value in groups.most_common()
        ],
        "operations": [
            {"name": name, **program[name], "seconds": value / 1e9 / steps}
            for name, value in spent.most_common(DEAREST)
        ],
    }


def describe(text: str) -> dict[str, dict[str, str]]:
    """Kind, part and origin of every instruction of a compiled program, by its name."""
    program: dict[str, dict[str, str]] = {}
    inside: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    called: dict[str, str] = {}
    lines: dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            computation = match[1]
        elif match := _INSTRUCTION.match(line):
            name, opcode = match.groups()
            inside[computation].append((opcode, line))
            lines[name] = line
            program[name] = {"kind": opcode}
            if calls := _CALLS.search(line):
                called[name] = calls[1]
    for name, entry in program.items():
        held = inside[called[name]] if name in called else [(entry["kind"], lines[name])]
        origins = [m[1] for _, line in [("", lines[name]), *held] if (m := _ORIGIN.search(line))]
        entry["kind"] = _kind(held)
        entry["origin"] = origins[0] if origins else ""
        entry["part"] = _part(" ".join(origins))
    return program


def _kind(held: list[tuple[str, str]]) -> str:
    for opcode, line in held:
        if opcode == "convolution":
            return "weight gradient" if _is_weight_gradient(line) else "convolution"
    kinds = {opcode for opcode, _ in held}
    for kind in ("dot", "fft", "custom-call"):
        if kind in kinds:
            return kind
    moves = {"copy", "transpose", "concatenate", "pad", "slice", "broadcast", "reshape", "bitcast"}
    return "moving data" if kinds <= {*moves, "parameter", "constant"} else "element-wise"


def _is_weight_gradient(line: str) -> bool:
    """Its window is the feature map and its output the kernel: it moves a large thing a little."""
    window, shape, labels = _WINDOW.search(line), _SHAPE.search(line), _OUTPUT.search(line)
    if not (window and shape and labels):
        return False
    output = [int(size) for size in shape[1].split(",")]
    places = [size for size, label in zip(output, labels[1], strict=True) if label.isdigit()]
    return math.prod(int(size) for size in window[1].split("x")) > math.prod(places)


def _part(origins: str) -> str:
    if not origins.strip():
        return "no origin given"
    for part, pattern in _PARTS:
        if pattern.search(origins):
            return part
    return "spectra, noise, loss and optimiser"


def _times(folder: Path, program: dict[str, dict[str, str]]) -> collections.Counter[str]:
    """Nanoseconds by instruction, over all threads and streams of the trace."""
    spent: collections.Counter[str] = collections.Counter()
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    if event.name in program:
                        spent[event.name] += int(event.duration_ns)
    return spent
