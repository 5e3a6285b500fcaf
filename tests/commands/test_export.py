"""fftdiff-jax export, and the parts of a page that need no browser."""

import base64
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tarfile

import pytest

from fftdiff_jax.commands import static_page
from fftdiff_jax.commands.command_line import explain
from fftdiff_jax.errors import UserError
from tests.commands import environment, refusal

FACTS = {"stride": 4, "probe": {}}


def export(folder, *words, **more):
    command = [sys.executable, "-m", "fftdiff_jax", "export", *words]
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A small packed file in the place of onnxruntime-web, whose checksum is taken for right."""
    inner = tmp_path / "inner"
    inner.mkdir()
    path = tmp_path / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in static_page.RUNTIME_FILES:
            (inner / name).write_text(name)
            archive.add(inner / name, f"package/dist/{name}")
    integrity = hashlib.sha512(path.read_bytes()).digest()
    text = base64.b64encode(integrity).decode()
    monkeypatch.setattr(static_page, "INTEGRITY", f"sha512-{text}")
    return path


@pytest.mark.parametrize("module", ["jax2onnx", "onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_known_by_its_extra(module):
    line = explain(ModuleNotFoundError(name=module))
    assert line == f"{module} is not installed; pip install 'fftdiff-jax[export]'"


def test_without_the_extra_it_is_one_line_and_nothing_is_written(tmp_path):
    program = (
        "import importlib.util as util, sys; found = util.find_spec; "
        "util.find_spec = lambda name, *rest: None if name == 'jax2onnx' else found(name, *rest); "
        "sys.argv = ['fftdiff-jax', 'export', '-o', 'out/model.onnx']; "
        "from fftdiff_jax.__main__ import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refusal(result).endswith("pip install 'fftdiff-jax[export]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--output=model.pb",), "must end in .onnx"),
        (("--output=file/model.onnx",), "is a file, not a folder"),
        (("--output=folder.onnx",), "give the name of a file"),
        (("--onnxruntime=file",), "is about --format=page"),
        (("--format=pages",), "should be one of"),
        (("--checkpoint=none",), "there is no such checkpoint"),
        (("--format=page", "--output=full"), "holds other files than an exported page"),
        (("--format=page", "--onnxruntime=none.tgz"), "none.tgz: cannot be read"),
        (("--format=page", "--onnxruntime=file"), "its checksum differs"),
    ],
)
def test_a_slip_is_one_line_before_any_work(tmp_path, words, said):
    if importlib.util.find_spec("jax2onnx") is None:
        pytest.skip("pip install -e '.[export]'")
    (tmp_path / "file").write_text("no folder")
    for name in ("folder.onnx", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert said in refusal(export(tmp_path, *words))
    assert sorted(tmp_path.rglob("*")) == before


def test_no_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(static_page, "_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be fetched .*--onnxruntime=FILE\.tgz") as caught:
        static_page.find_runtime()
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_comes_over_the_network_is_kept_only_if_it_is_the_right_file(
    tmp_path, monkeypatch, runtime
):
    monkeypatch.setattr(static_page, "_CACHE", str(tmp_path / "cache"))
    served = tmp_path / "registry" / static_page.PATH
    served.parent.mkdir(parents=True)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (tmp_path / "registry").as_uri())
    served.write_bytes(b"something else")
    with pytest.raises(UserError, match="its checksum differs"):
        static_page.find_runtime()
    assert list((tmp_path / "cache").iterdir()) == []
    served.write_bytes(runtime.read_bytes())
    found = static_page.find_runtime()
    assert found.read_bytes() == runtime.read_bytes()
    served.unlink()
    assert static_page.find_runtime() == found  # a second time without asking anyone


def test_a_page_is_whole_and_replaces_only_a_page(tmp_path, runtime):
    folder = tmp_path / "page"
    static_page.require_replaceable(folder)
    static_page.write(folder, b"one", FACTS, runtime)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {f"onnxruntime/{name}" for name in static_page.RUNTIME_FILES}
    assert names >= {"index.html", "page.js", "worker.js", "model.onnx", "model.json"}
    assert json.loads((folder / "model.json").read_text())["stride"] == 4
    first = (folder / "service_worker.js").read_text()
    assert "BUILD_OF_THE_PAGE" not in first
    shell = first.split("SHELL = [")[1].split("]")[0]
    for name in re.findall(r'"([^"]+)"', shell):
        assert name == "./" or name in names, name
    static_page.require_replaceable(folder)
    static_page.write(folder, b"two", FACTS, runtime)
    assert (folder / "model.onnx").read_bytes() == b"two"
    # Browsers take a service worker for new where it differs.
    assert (folder / "service_worker.js").read_text() != first
    assert {path.name for path in tmp_path.iterdir()} == {"inner", "runtime.tgz", "page"}


def test_what_ends_in_the_middle_leaves_the_page_before(tmp_path, runtime, monkeypatch):
    folder = tmp_path / "page"
    static_page.write(folder, b"one", FACTS, runtime)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(static_page.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="No space left on device"):
        static_page.write(folder, b"two", FACTS, runtime)
    with pytest.raises(UserError, match="No space left on device"):
        static_page.write(tmp_path / "other", b"two", FACTS, runtime)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"inner", "runtime.tgz", "page"}
