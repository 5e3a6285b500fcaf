"""A page with no server: its files, the model and onnxruntime-web, put into one folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing

RUNTIME = "onnxruntime-web"
VERSION = "1.30.0"
# Of the packed file, as the npm registry states it.
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
PATH = f"{RUNTIME}/-/{RUNTIME}-{VERSION}.tgz"
REGISTRY = "https://registry.npmjs.org"
# One of the two pairs is loaded: with WebGPU, or on the processor alone.
RUNTIME_FILES = (
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm",
)
FOLDER = Path(__file__).with_name("page_files")
FACTS = "model.json"
_BUILD = "BUILD_OF_THE_PAGE"  # in the service worker; another text for other files
_SECONDS = 60  # that a registry may be silent
_CACHE = "~/.cache/fftdiff_jax"


def require_replaceable(folder: Path) -> None:
    """Raises `UserError` where something else lies than a page that was exported before."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder.is_dir() and (folder / FACTS).is_file() and (folder / "index.html").is_file()):
        raise UserError(f"{folder}: holds other files than an exported page; choose a new folder")


def find_runtime(given: str | None = None) -> Path:
    """onnxruntime-web as npm packs it: the given file, or one that is fetched once and kept.

    Raises:
      UserError: there is no such file, no network, or it is another than `INTEGRITY` says.
    """
    if given:
        path = Path(given).expanduser()
        _require_whole(path)
        return path
    path = Path(_CACHE).expanduser() / PATH.rpartition("/")[2]
    with suppress(UserError):
        _require_whole(path)
        return path
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
    print(f"fetching {RUNTIME} {VERSION} from {registry}: 33 MB, once", flush=True)
    with replacing(path) as temporary:
        try:
            with (
                urllib.request.urlopen(f"{registry}/{PATH}", timeout=_SECONDS) as answer,
                temporary.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UserError(
                f"{registry}/{PATH}: cannot be fetched ({' '.join(str(reason).split())}); go "
                "online once, or fetch it elsewhere and give it as --onnxruntime=FILE.tgz"
            ) from error
        _require_whole(temporary, f"{registry}/{PATH}")
    return path


def _require_whole(path: Path, name: str = "") -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise UserError(
            f"{name or path}: is not {RUNTIME} {VERSION} as npm packs it (its checksum differs); "
            f"`npm pack {RUNTIME}@{VERSION}` makes the right file"
        )


def write(folder: Path, model: bytes, facts: dict[str, Any], runtime: Path) -> None:
    """Writes the page, whole or not at all; a page that is there is replaced.

    Args:
      folder: where; see `require_replaceable`.
      model: the ONNX model.
      facts: what the page must know of it (`onnx_model.facts`), and a probe.
      runtime: the packed onnxruntime-web.

    Raises:
      UserError: the folder cannot be written.
    """
    with _replacing_folder(folder) as new:
        for path in sorted(FOLDER.iterdir()):
            if path.is_file():
                shutil.copyfile(path, new / path.name)
        (new / "model.onnx").write_bytes(model)
        (new / "onnxruntime").mkdir()
        with tarfile.open(runtime) as archive:
            for name in RUNTIME_FILES:
                packed = archive.extractfile(f"package/dist/{name}")
                assert packed is not None  # the checksum was right
                with (new / "onnxruntime" / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
        facts = facts | {"onnxruntime": VERSION}
        (new / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
        build = hashlib.sha256()
        for path in sorted(new.rglob("*")):
            if path.is_file():
                build.update(path.relative_to(new).as_posix().encode() + b"\0")
                build.update(path.read_bytes())
        worker = new / "service_worker.js"
        text = worker.read_text(encoding="utf-8")
        worker.write_text(text.replace(_BUILD, build.hexdigest()[:16]), encoding="utf-8")


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder`; what was put there takes its place."""
    token = secrets.token_hex(8)
    new, old = (folder.with_name(f".{os.getpid()}.{token}.{end}") for end in ("new", "old"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another place or "
            "free some space"
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
