"""Weights and run folders from elsewhere: refused in one line each, and in bounded time."""

import json
import os
import struct
import time

import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import numpy as safetensors

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import weights
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.weights import save_weights
from tests.training.test_checkpoints import save

SECONDS = 60  # far more than any refusal takes


def refused(path, *said):
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_weights(path)
    line = str(caught.value)
    assert time.monotonic() - begin < SECONDS
    assert line.isprintable()
    assert len(line) < 1000
    for words in said:
        assert words in line
    return line


def tree(group=None, **fields):
    """The configuration of the tiny network, one group of it changed."""
    whole = configuration.to_dict(Config())
    whole["model"] |= {"widths": [8, 16], "blocks": [1, 1]}
    if group:
        whole[group] |= fields
    return whole


@pytest.fixture
def arrays(tiny_restorer):
    flat = flatten_dict(tiny_restorer.params, sep="/")
    return {name: np.asarray(leaf, np.float16) for name, leaf in flat.items()}


def write(path, arrays, config, **about):
    text = config if isinstance(config, str) else json.dumps(config)
    path.write_bytes(safetensors.save(arrays, {"config": text, **about}))
    return path


TREES = {
    "a list": [],
    "a number": 3,
    "a text": "model",
    "null": None,
    "a group that is a list": {"model": [1, 2]},
    "nested 100,000 deep": 100_000 * '{"model":' + "1" + 100_000 * "}",
    "lists 100,000 deep": 100_000 * "[" + 100_000 * "]",
    "no JSON": "{",
    "over 16 MB": json.dumps({"data": {"manifest": 17_000_000 * "x"}}),
    "fold 0": tree("model", fold=0),
    "a fold of millions": tree("model", fold=10**7),
    "no widths": tree("model", widths=[]),
    "no widths and no blocks": tree("model", widths=[], blocks=[]),
    "widths of text": tree("model", widths=["8", "16"]),
    "negative widths": tree("model", widths=[-8, 16]),
    "a width of 10^9": tree("model", widths=[10**9, 16]),
    "10^5 blocks": tree("model", blocks=[10**5, 1]),
    "10^5 resolutions": tree("model", widths=[8] * 10**5, blocks=[1] * 10**5),
    "more parameters than fit": tree("model", widths=[4096] * 6, blocks=[4] * 6),
    "dtype object": tree("model", dtype="object"),
    "a list for a choice": tree("model", block=["normed"]),
    "a rain_spectrum below 0": tree("representation", rain_spectrum=[-1.0] * 9),
    "a rain_spectrum of NaN": tree("representation", rain_spectrum=[float("nan")] * 9),
    "a rain_spectrum of three": tree("representation", rain_spectrum=[1.0] * 3),
    "a time_power of NaN": tree("sampling", time_power=float("nan")),
    "an eta above 1": tree("sampling", eta=2.0),
    "10^9 steps": tree("sampling", steps=10**9),
    "draws below 0": tree("sampling", draws=-1),
    "a whole number of 5000 digits": '{"training": {"seed": ' + 5000 * "9" + "}}",
    "an unknown field with escapes": {"model": {"\x1b[31m\n": 1}},
}


@pytest.mark.parametrize("kind", TREES)
def test_a_file_with_such_a_configuration_is_refused(tmp_path, arrays, kind):
    refused(write(tmp_path / "w.safetensors", arrays, TREES[kind]), "w.safetensors")


def test_the_way_out_of_another_version_is_said(tmp_path, arrays):
    path = write(tmp_path / "w.safetensors", arrays, tree("model", depth=3))
    refused(path, "written by another version", "model.depth", "leave --checkpoint out")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, arrays, value):
    name = sorted(arrays)[3]
    arrays[name] = arrays[name].copy()
    arrays[name].flat[0] = value
    refused(write(tmp_path / "w.safetensors", arrays, tree()), name, "not finite")


def test_arrays_that_are_no_weights_are_refused(tmp_path, arrays):
    name = sorted(arrays)[0]
    path = tmp_path / "w.safetensors"
    refused(write(path, arrays | {name: arrays[name].astype(np.int64)}, tree()), "I64")
    refused(write(path, arrays | {f"{name}/more": arrays[name]}, tree()), "no place")
    refused(write(path, {name: arrays[name]}, tree()), "has no ")
    refused(write(path, {}, tree()), "has no ")
    path.write_bytes(safetensors.save(arrays))
    refused(path, "configuration is missing")
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(path, "cannot be read")
    path.unlink()
    path.mkdir()
    refused(path, "no such file of weights")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "no such file of weights")


def test_numbers_are_read_only_where_names_and_shapes_fit(tmp_path, arrays, monkeypatch):
    """A file may claim any size: nothing of it is read before it is known to be the network's."""
    name = sorted(arrays)[0]
    path = write(tmp_path / "w.safetensors", arrays | {name: np.zeros(100_000)[:1]}, tree())

    def read(*unused):
        pytest.fail("numbers were read")

    monkeypatch.setattr(weights, "require_finite", read)
    refused(path, name)


def test_what_cannot_be_restored_with_is_not_saved(tmp_path, tiny_restorer):
    name, *_ = sorted(flatten_dict(tiny_restorer.params, sep="/"))
    for value, said in ((np.nan, "not finite"), (1e6, "--dtype=float32")):
        params = flatten_dict(tiny_restorer.params, sep="/")
        params = params | {name: np.full(params[name].shape, value, np.float32)}
        with pytest.raises(UserError, match=said):
            save_weights(tmp_path / "w.safetensors", params, tiny_restorer.config)
    with pytest.raises(UserError, match="dtype 'zzz'"):
        save_weights(tmp_path / "w", tiny_restorer.params, tiny_restorer.config, dtype="zzz")
    assert not list(tmp_path.iterdir())


def test_a_photo_that_is_not_finite_is_never_given(tiny_restorer):
    photo = np.full((16, 16, 3), 100, np.uint8)
    for value in (np.nan, np.inf):
        params = flatten_dict(tiny_restorer.params, sep="/")
        params |= {name: leaf * 0 + value for name, leaf in params.items() if "exit/bias" in name}
        broken = Restorer(unflatten_dict(params, sep="/"), tiny_restorer.config)
        for call in (broken, broken.sample, broken.sample_float, broken.uncertainty):
            with pytest.raises(UserError, match="not finite"):
                call(photo)


def test_numbers_of_a_call_have_the_ranges_of_the_configuration(tiny_restorer):
    photo = np.full((16, 16, 3), 100, np.uint8)
    for wrong in ({"draws": 10**6}, {"steps": 10**20}, {"seed": 10**20}, {"seed": -1}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))} is "):
            tiny_restorer(photo, **wrong)


def swap_config(step, text):
    (step / "config" / "metadata").write_text(text)
    (step / "checksums.json").unlink()


def set_sums(step, sums):
    (step / "checksums.json").write_text(json.dumps(sums))


def swap_for_pipe(path):
    path.unlink()
    os.mkfifo(path)


def swap_for_zeros(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def swap_for_link(path, target):
    """What a folder held lies elsewhere."""
    path.rename(target)
    path.symlink_to(target)


def stretch(path):
    os.truncate(path, 10**12)


FOLDERS = {
    "config: a list": lambda step: swap_config(step, "[]"),
    "config: no JSON": lambda step: swap_config(step, "{"),
    "config: deep": lambda step: swap_config(step, 100_000 * "[" + 100_000 * "]"),
    "config: fold 0": lambda step: swap_config(step, json.dumps(tree("model", fold=0))),
    "config: 10^5 blocks": lambda step: swap_config(
        step, json.dumps(tree("model", blocks=[10**5, 1]))
    ),
    "config: endless": lambda step: stretch(step / "config" / "metadata"),
    "config: a pipe": lambda step: swap_for_pipe(step / "config" / "metadata"),
    "sums: leads out": lambda step: set_sums(step, {"weights/../../../../secret": "0"}),
    "sums: absolute in an item": lambda step: set_sums(step, {"weights//dev/zero": "0"}),
    "sums: the same file often": lambda step: set_sums(step, {"weights/./x": "0"}),
    "sums: a list": lambda step: set_sums(step, ["weights"]),
    "sums: a number": lambda step: set_sums(step, 3),
    "sums: numbers": lambda step: set_sums(step, {"weights/manifest.ocdbt": 3}),
    "sums: deep": lambda step: (step / "checksums.json").write_text(100_000 * "["),
    "sums: endless": lambda step: stretch(step / "checksums.json"),
    "sums: /dev/zero": lambda step: swap_for_zeros(step / "checksums.json"),
    "sums: a pipe": lambda step: swap_for_pipe(step / "checksums.json"),
    "weights: a pipe": lambda step: swap_for_pipe(step / "weights" / "manifest.ocdbt"),
    "weights: /dev/zero": lambda step: (step / "weights" / "more").symlink_to("/dev/zero"),
    "weights: elsewhere": lambda step: swap_for_link(step / "weights", step.parents[2] / "else"),
    "config: elsewhere": lambda step: swap_for_link(step / "config", step.parents[2] / "else"),
    "weights: endless": lambda step: stretch(step / "weights" / "manifest.ocdbt"),
    "scores: a list": lambda step: (step / "metrics" / "metrics").write_text("[1]"),
    "scores: a text": lambda step: (step / "metrics" / "metrics").write_text('{"psnr_y": "x"}'),
    "scores: NaN": lambda step: (step / "metrics" / "metrics").write_text('{"psnr_y": NaN}'),
    "scores: others": lambda step: (step / "metrics" / "metrics").write_text('{"mse": 1}'),
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save(folder, {1: 20.0})
    return folder


@pytest.mark.parametrize("kind", FOLDERS)
def test_such_a_run_folder_is_refused(tmp_path, run_folder, kind):
    import shutil

    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "secret").write_text("not for reading")
    FOLDERS[kind](tmp_path / "run" / "checkpoints" / "1")
    line = refused(tmp_path / "run")
    assert "secret" not in line or "not there" in line
    assert "no plain file" in line or "elsewhere" not in kind


def test_a_folder_of_another_run_is_opened(run_folder):
    """What the cases above start from is sound."""
    assert load_weights(run_folder)[2] == 1
