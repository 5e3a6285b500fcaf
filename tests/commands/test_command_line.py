"""What all entry points share: flags, one line with the way out, and JAX imported late."""

import errno
import importlib.util
import os
import subprocess
import sys

import jax
import pytest

from fftdiff_jax.__main__ import VERBS
from fftdiff_jax.commands import command_line, shared
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.commands import ROOT, environment, refusal, run


@pytest.fixture(scope="module")
def without_jax(tmp_path_factory) -> str:
    """A PYTHONPATH on which JAX is there and cannot be imported: who needs it fails."""
    folder = tmp_path_factory.mktemp("without_jax")
    (folder / "jax.py").write_text("raise ImportError('JAX was imported')\n")
    return f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


def run_without_jax(folder, without_jax, command, *flags):
    here = os.pathsep.join([without_jax, str(ROOT)])
    return run(folder, command, *flags, PYTHONPATH=here)


@pytest.mark.parametrize("verb", VERBS)
def test_help_imports_nothing_slow_and_is_the_same_in_a_checkout(tmp_path, without_jax, verb):
    module = "inspect_spectra" if verb == "inspect" else verb
    result = run_without_jax(tmp_path, without_jax, module, "-h")
    assert result.returncode == 0, result.stderr
    assert (
        "fftdiff-jax photo.jpg" if verb == "restore" else f"fftdiff-jax {verb} "
    ) in result.stdout
    command = [sys.executable, "-m", "fftdiff_jax", verb, "--help"]
    surroundings = environment(PYTHONPATH=os.pathsep.join([without_jax, str(ROOT)]))
    again = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert again.stdout == result.stdout
    assert list(tmp_path.iterdir()) == []


def test_compiled_programs_are_kept_where_jax_is_told_to(tmp_path):
    result = run(tmp_path, "restore", "-h", JAX_COMPILATION_CACHE_DIR="/kept/here")
    assert "/kept/here" in result.stdout


@pytest.mark.parametrize(
    ("command", "flags", "first"),
    [
        ("train", ("--config=quickstart", "--workdir=run"), "training 1200 steps into run"),
        ("restore", ("--input={photo}", "--output=out", "--checkpoint=."), "restoring 1 photo"),
        ("evaluate", ("--manifest={pairs}", "--output=out", "--checkpoint=."), "split: val"),
        (
            "inspect_spectra",
            ("--manifest={pairs}", "--output=a.png", "--figure=path", "--checkpoint=."),
            "rainy_0.png: 64 x 48 pixels",
        ),
    ],
)
def test_the_first_words_come_before_jax(tmp_path, without_jax, pairs_csv, command, flags, first):
    photo = pairs_csv.parent / "rainy_0.png"
    flags = [flag.format(photo=photo, pairs=pairs_csv) for flag in flags]
    result = run_without_jax(tmp_path, without_jax, command, *flags)
    assert result.stdout.startswith(first), result.stdout + result.stderr
    assert "JAX was imported" in result.stderr


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("restore", ["--outptu=x"], "no flag --outptu; did you mean --output?"),
        ("restore", ["--nouncertanty"], "did you mean --nouncertainty?"),
        ("restore", ["--config.training.steps=3"], "a checkpoint has its own configuration"),
        ("restore", ["--zzz"], "known: --checkpoint, --input"),
        ("restore", ["--steps=many"], "--steps=many: expected a whole number"),
        ("restore", ["steps=3"], "did you mean --steps=3?"),
        ("restore", ["x"], "x: there is no such photo or folder"),
        ("restore", [], "no photo is named"),
        ("restore", ["-dash.png"], "comes after --: -- -dash.png"),
        ("evaluate", ["x"], "unexpected argument 'x'; flags look like --name=value"),
        ("train", ["--confg=quickstart"], "did you mean --config?"),
        ("train", ["--config.steps=5"], "--config.sampling.steps or --config.training.steps?"),
        ("train", ["--config.trainin.steps", "5"], "did you mean --config.training.steps?"),
        ("train", ["--config.training.steps"], "an override looks like"),
        ("inspect_spectra", ["--output=a.txt"], "the name must end in .png"),
        ("inspect_spectra", ["--output=a.png/b.png"], "a.png is a file, not a folder"),
        ("demo", ["--port=99999999"], "--port=99999999"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(tmp_path, without_jax, command, words, said):
    for name in ("a.png", "-dash.png"):
        (tmp_path / name).touch()
    if command == "train" and "--confg" not in words[0]:
        words = ["--config=quickstart", "--workdir=run", *words]
    assert said in refusal(run_without_jax(tmp_path, without_jax, command, *words))


def test_an_override_may_stand_beside_its_field(tmp_path, without_jax):
    words = ("--config=quickstart", "--workdir=run", "--config.training.steps", "7")
    result = run_without_jax(tmp_path, without_jax, "train", *words)
    assert result.stdout.startswith("training 7 steps")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), "nvidia-smi"),
        (MemoryError(), "the machine's memory is full"),
        (OSError(errno.EACCES, "Permission denied", "/place"), "/place: permission denied; choose"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (ModuleNotFoundError("no", name="skimage.data"), "pip install 'fftdiff-jax[training]'"),
        (RuntimeError("Unable to initialize backend 'cuda': no driver"), "JAX_PLATFORMS=cpu"),
    ],
)
def test_what_the_machine_lacks_is_one_line(error, said):
    line = command_line.explain(error)
    assert line
    assert said in line
    assert "\n" not in line
    wrapped = ValueError("the loader failed")
    wrapped.__cause__ = error
    assert command_line.explain(wrapped) == line


def test_other_errors_are_shown_whole():
    assert command_line.explain(ValueError("a mistake of the program")) is None
    assert command_line.explain(ModuleNotFoundError("no", name="fftdiff_jax.typo")) is None
    assert command_line.explain(OSError(errno.ENOENT, "No such file")) is None


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) for name in shared._CUDA_PLUGINS),
    reason="JAX has CUDA here",
)
class TestWithoutCuda:
    def test_asking_for_a_gpu_is_refused(self, tmp_path):
        words = ("--config=quickstart", "--workdir=run")
        line = refusal(run(tmp_path, "train", *words, JAX_PLATFORMS="cuda"))
        assert "pip install 'fftdiff-jax[cuda]'" in line

    def test_an_unused_gpu_is_mentioned(self, tmp_path, monkeypatch, capsys):
        monkeypatch.delenv("JAX_PLATFORMS", raising=False)
        monkeypatch.setattr(shared, "_NVIDIA_DRIVER", str(tmp_path / "version"))
        shared._look_for_gpu()
        assert capsys.readouterr().err == ""
        (tmp_path / "version").touch()
        shared._look_for_gpu()
        assert capsys.readouterr().err.startswith("note: there is an NVIDIA GPU")


def test_a_place_is_checked_before_the_work(tmp_path):
    assert (
        shared.require_writable("output", str(tmp_path / "new" / "deep")) == tmp_path / "new/deep"
    )
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        shared.require_writable("output", str(tmp_path / "file" / "x"))
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(UserError, match="no permission"):
            shared.require_writable("output", str(tmp_path / "locked" / "x"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "now"), [('"fold"', '"folding"'), ('"widths":[8,16]', '"widths":[8,24]')]
)
def test_an_old_checkpoint_is_one_line(tmp_path, tiny_restorer, pairs_csv, then, now):
    """A field that is gone, or a network of another shape."""
    checkpoints = Checkpoints(tmp_path / "old")
    checkpoints.save(create_state(tiny_restorer.config), tiny_restorer.config, {})
    checkpoints.close()
    (stored,) = [p for p in (tmp_path / "old").rglob("config/*") if p.name == "metadata"]
    text = stored.read_text().replace(", ", ",").replace(": ", ":")
    assert then in text
    stored.write_text(text.replace(then, now))
    photo = pairs_csv.parent / "rainy_0.png"
    flags = ("--checkpoint=old", f"--input={photo}", "--output=out", "--noprogress")
    line = refusal(run(tmp_path, "restore", *flags))
    assert "old/checkpoints/0: " in line
