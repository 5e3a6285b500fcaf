"""What the tests share."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import quick_xla

_PROGRAMS = quick_xla.set_up()  # before anything imports JAX; the folder is gone with the session


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_module():
    """A module's compiled programs go with it: a worker keeps gigabytes of them otherwise."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory):
    """What tests restore is not put on the record of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def rng():
    """Numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def pairs_csv(tmp_path_factory) -> Path:
    """A manifest of six small real pairs: crops of one photo, with bright streaks; two are val."""
    from skimage import data

    from fftdiff_jax.data.images import save_png
    from fftdiff_jax.data.manifest import write_manifest

    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        clean = data.coffee()[60 * i : 60 * i + 48 + i, 100 : 164 - i]
        streaks = 80 * (rng.random((1, clean.shape[1], 1)) > 0.8)
        rainy = np.clip(clean + streaks, 0, 255).astype(np.uint8)
        names = [str(folder / f"{kind}_{i}.png") for kind in ("clean", "rainy")]
        save_png(names[0], clean)
        save_png(names[1], rainy)
        rows.append((names[0], names[1], "val" if i < 2 else "train"))
    write_manifest(folder / "pairs.csv", rows)
    return folder / "pairs.csv"


@pytest.fixture(scope="session")
def tiny_restorer():
    """A restorer of a small network with random weights: it changes photos, and not by much."""
    import jax

    from fftdiff_jax.config import Config, ModelConfig
    from fftdiff_jax.method.method import make_method
    from fftdiff_jax.restore.restorer import Restorer

    config = Config(model=ModelConfig(widths=(8, 16), blocks=(1, 1)))
    params = make_method(config).init(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    noise = np.random.default_rng(0)
    leaves = [leaf + 0.02 * noise.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    return Restorer(jax.tree.unflatten(tree, leaves), config)
