r"""Trains recipes side by side and compares them: one table, one figure.

    fftdiff-jax compare --recipes=quickstart,original_recipe --output=comparison \
        --config.training.steps=500 --seeds=0,1 --steps=1,4 --draws=4

A recipe is a configuration file, or one entry of a file that defines get_sweep() -> {name: Config}
(--sweep). Overrides with --config.FIELD hold for all of them: the same steps, batches and seeds, so
the same data in the same order. --minutes gives every recipe the same training time instead: its
step is timed first, and its number of steps follows. What is trained is kept, and so is what is
scored of it in all the ways that are asked for; another --limit or --crop wants another --output.
--checkpoints adds weights that are there already, in every way of sampling, without training:

    fftdiff-jax compare --checkpoints=pretrained --manifest=rain800.csv \
        --output=ways --steps=1,2,4 --realisms=0.5,1 --draws=8

--redraw makes table and figure anew from results.json.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from fftdiff_jax.commands import config_flags, shared
from fftdiff_jax.commands.command_line import LARGEST_NUMBER
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import PyTree

    from fftdiff_jax.restore.restorer import Restorer

_RECIPES = flags.DEFINE_list("recipes", [], "configuration files, or names of them")
_SWEEP = flags.DEFINE_string("sweep", None, "a file that defines get_sweep() -> {name: Config}")
_ONLY = flags.DEFINE_list("only", [], "of --sweep these recipes only")
_CHECKPOINTS = flags.DEFINE_list(
    "checkpoints", [], "weights to score as they are: runs, files, or 'pretrained'"
)
_MANIFEST = flags.DEFINE_string("manifest", None, "the CSV whose val pairs score --checkpoints")
_OUTPUT = shared.define_output("folder for runs, results.json, table.md, figure.png")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "training seeds, each one a run")
_STEPS = flags.DEFINE_list("steps", ["1"], "step counts to sample with")
_DRAWS = flags.DEFINE_integer(
    "draws", 0, "draws a crop; 0: only the first estimate is scored", lower_bound=0
)
_REALISMS = flags.DEFINE_list(
    "realisms", ["1"], "how far draws go from the first estimate, above 0"
)
_LIMIT = flags.DEFINE_integer("limit", 0, "val crops to score; 0: all", lower_bound=0)
_CROP = flags.DEFINE_integer("crop", 192, "side of the centre crops", lower_bound=32)
_MINUTES = flags.DEFINE_float("minutes", 0.0, "training time of each run; 0: equal steps", 0.0)
_REDRAW = flags.DEFINE_bool("redraw", False, "only draw from results.json again")
_PROGRESS = flags.DEFINE_bool("progress", True, "show progress bars")
_COMPILATION_CACHE = shared.define_compilation_cache()

TIMED_STEPS = 30  # of a short run that tells how long a step takes


def main(overrides: list[str]) -> int:
    """Trains, scores and draws what the flags describe."""
    output = Path(shared.require("output", _OUTPUT.value)).expanduser().absolute()
    results = output / "results.json"
    rows = json.loads(results.read_text()) if results.exists() else []
    if not all(key in row for row in rows for key in _KEY):
        raise UserError(f"{results}: written by another version; choose another --output")
    if not _REDRAW.value:
        seeds = [int(number) for number in _numbers("seeds", _SEEDS.value, least=0)]
        _ways(None)  # refuses what is no number before anything is trained
        recipes = _recipes(overrides)
        openers = {path: shared.restorer_opener(_path(path)) for path in _CHECKPOINTS.value}
        if not recipes and not openers:
            raise UserError("nothing to compare; give --recipes, --sweep or --checkpoints")
        print(f"comparing {', '.join([*recipes, *openers])} into {output}", flush=True)
        shared.prepare_jax(_COMPILATION_CACHE.value)
        shared.share_cores(*recipes.values())
        from fftdiff_jax.evaluation.models import distinct_names

        names = distinct_names(list(openers)) if openers else []
        for name, opener in zip(names, openers.values(), strict=True):
            rows = _merge(rows, _score_checkpoint(name, opener()))
            _write(results, rows)
        for name, recipe in recipes.items():
            for seed in seeds:
                training = dataclasses.replace(recipe.training, seed=seed)
                config = dataclasses.replace(recipe, training=training)
                if _scored(rows, name, config):
                    continue
                rows = _merge(rows, _run(name, config, output, rows))
                _write(results, rows)
    elif not rows:
        raise UserError(f"{results}: nothing to draw from; run without --redraw first")
    _draw(rows, output)
    return 0


def _recipes(overrides: list[str]) -> dict[str, Config]:
    found = {Path(name).stem: config_flags.load_config(name, overrides) for name in _RECIPES.value}
    if _ONLY.value and not _SWEEP.value:
        raise UserError("--only picks recipes of a --sweep, and none is given")
    if _SWEEP.value:
        sweep = config_flags.load_sweep(_SWEEP.value, overrides)
        for name in _ONLY.value:
            if name not in sweep:
                near = difflib.get_close_matches(name, sweep, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sweep)}"
                raise UserError(f"--only: there is no recipe {name!r} in {_SWEEP.value}; {hint}")
        found |= {name: sweep[name] for name in _ONLY.value or sweep}
    return found


def _path(checkpoint: str) -> str | None:
    return None if checkpoint == "pretrained" else checkpoint


def _scored(rows: list[dict[str, Any]], name: str, config: Config) -> bool:
    """Whether there is a row for every way of sampling that is asked for."""
    found = _of(rows, name, config.training.seed)
    ways = {(row["steps"], row["realism"], row["draws"]) for row in found}
    return bool(found) and ways.issuperset(_ways(config))


def _of(rows: list[dict[str, Any]], name: str, seed: int) -> list[dict[str, Any]]:
    return [row for row in rows if row["recipe"] == name and row["seed"] == seed]


def _score_checkpoint(name: str, restorer: Restorer) -> list[dict[str, Any]]:
    """Scores weights as they are, in every way of sampling."""
    from fftdiff_jax.method.unet import count_parameters

    manifest = shared.require("manifest", _MANIFEST.value)
    about = {
        "recipe": name,
        "seed": restorer.config.training.seed,
        "training_steps": restorer.step,
        "training_seconds": 0.0,  # not known of weights that are there
        "parameters": count_parameters(restorer.params),
    }
    return _score(about, restorer.params, restorer.config, manifest)


def _run(
    name: str, config: Config, output: Path, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Trains one recipe with one seed, or takes the run that is there, and scores it.

    `rows` are those of before, which know how long a finished run took.
    """
    from fftdiff_jax.method.unet import count_parameters
    from fftdiff_jax.restore.open_weights import load_weights
    from fftdiff_jax.training.loop import train

    folder = output / f"{name}-{config.training.seed}"
    # A last evaluation on whole photos is not what is compared.
    training = dataclasses.replace(config.training, final_evaluation_limit=1)
    config = dataclasses.replace(config, training=training)
    if _MINUTES.value > 0:
        timing = folder.with_name(f"{folder.name}-timing")
        config = _with_steps(config, timing, _MINUTES.value, folder)
    begin = time.perf_counter()
    train(config, folder, progress=_PROGRESS.value)
    seconds = time.perf_counter() - begin
    before = _of(rows, name, config.training.seed)
    seconds = before[0]["training_seconds"] if before else seconds
    params, config, _ = load_weights(folder)
    about = {
        "recipe": name,
        "seed": config.training.seed,
        "training_steps": config.training.steps,
        "training_seconds": round(seconds, 1),
        "parameters": count_parameters(params),
    }
    return _score(about, params, config, config.data.manifest)


def _score(
    about: dict[str, Any], params: PyTree, config: Config, manifest: str
) -> list[dict[str, Any]]:
    """A row for the rainy crops, and one for every way of sampling."""
    from fftdiff_jax.evaluation import screening

    crops = screening.load_crops(shared.read_pairs(manifest, "val"), _CROP.value, _LIMIT.value)
    about = {**about, "crops": len(crops.clean)}
    rainy = screening.score_crops(crops.rainy.astype("float32") / 255, crops.clean)
    rows = [{**about, "recipe": "rainy", "steps": 0, "draws": 0, "realism": 0.0, **rainy}]
    for steps, realism, draws in _ways(config):
        way = dataclasses.replace(config.sampling, steps=steps, realism=realism, draws=draws)
        scores = screening.screen(params, config, crops, way)
        rows.append({**about, "steps": steps, "draws": draws, "realism": realism, **scores})
        print(_line(rows[-1]), flush=True)
    return rows


def _ways(config: Config | None) -> list[tuple[int, float, int]]:
    """Steps, realism and draws of every way to sample: the first estimate, then draws.

    As far as `config` trains a network for it; None: any.
    """
    realisms = _numbers("realisms", _REALISMS.value, least=0)
    if 0 in realisms:
        raise UserError("--realisms: at 0 every draw is the first estimate")
    counts = sorted({int(number) for number in _numbers("steps", _STEPS.value, least=1)})
    direct = config is not None and config.model.prediction == "direct"
    draws_nothing = config is not None and not direct and config.diffusion.draw_share == 0
    ways: list[tuple[int, float, int]] = [] if direct else [(1, 1.0, 0)]
    if _DRAWS.value and not draws_nothing:
        ways += [(steps, realism, _DRAWS.value) for steps in counts for realism in realisms]
    return ways


def _numbers(name: str, words: list[str], least: int) -> list[float]:
    """The numbers of a list flag; whole ones but for the realism, which is at most 1."""
    numbers = []
    for word in words:
        try:
            number = float(word) if name == "realisms" else int(word)
        except ValueError:
            raise UserError(f"--{name}: {word!r} is no number") from None
        most = 1 if name == "realisms" else LARGEST_NUMBER
        if not least <= number <= most:  # NaN is not, either
            raise UserError(f"--{name}: {word} is out of range")
        numbers.append(number)
    return numbers


def _with_steps(config: Config, timing: Path, minutes: float, folder: Path) -> Config:
    """As many steps as fit into the time, by a short run's rate; of a begun run, its own number."""
    begun = folder / "config.json"
    if begun.exists():
        steps = json.loads(begun.read_text())["training"]["steps"]
    else:
        steps = max(1, int(60 * minutes / _step_seconds(config, timing)))
    return dataclasses.replace(config, training=dataclasses.replace(config.training, steps=steps))


def _step_seconds(config: Config, timing: Path) -> float:
    """How long a step takes in a short run that is left in the folder `timing`."""
    from fftdiff_jax.training.loop import train

    short = dataclasses.replace(
        config.training,
        steps=TIMED_STEPS,
        log_every=TIMED_STEPS // 3,
        evaluate_every=TIMED_STEPS,
        sample_every=TIMED_STEPS,
    )
    train(dataclasses.replace(config, training=short), timing, progress=False)
    last = (timing / "metrics.csv").read_text().splitlines()[-1].split(",")
    return config.training.batch_size / float(last[2])


_KEY = ("recipe", "seed", "steps", "draws", "realism")


def _merge(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = {tuple(row[k] for k in _KEY): row for row in old + new}
    return list(rows.values())


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    from fftdiff_jax.files import write_text

    write_text(path, json.dumps(rows, indent=1) + "\n")


def _line(row: dict[str, Any]) -> str:
    text = (
        f"{row['recipe']} seed {row['seed']}: {row['steps']} steps, realism {row['realism']:g}, "
        f"{row['draws']} draws: {row['psnr_y']:.2f} dB, LPIPS {row['lpips']:.3f} / "
        f"{row['lpips_vgg']:.3f}"
    )
    if "spread_over_error" in row:
        text += f", spread/error {row['spread_over_error']:.2f}"
    return text


def _draw(rows: list[dict[str, Any]], output: Path) -> None:
    from fftdiff_jax.figures.recipes import comparison_figure, comparison_table
    from fftdiff_jax.files import replacing, write_text

    table = comparison_table(rows)
    write_text(output / "table.md", table)
    with replacing(output / "figure.png") as temporary:
        comparison_figure(rows).savefig(temporary, dpi=130)
    print(table)
    print(output / "figure.png")
