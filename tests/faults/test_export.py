"""A full disk, or one that may not be written to: no half model and no half page."""

import hashlib

import pytest

from fftdiff_jax.commands import static_page
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing
from tests.commands.test_export import FACTS, runtime  # noqa: F401  (a fixture)
from tests.faults.disks import fill, small_disk

pytestmark = pytest.mark.fault


def digest(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]


def test_a_full_disk_leaves_what_was_there(tmp_path, runtime):  # noqa: F811
    with small_disk(tmp_path / "disk", 4) as disk:
        page, file = disk / "page", disk / "model.onnx"
        static_page.write(page, b"one", FACTS, runtime)
        file.write_bytes(b"one")
        before = digest(disk)
        filler = fill(disk, leave=200_000)
        with pytest.raises(UserError, match="cannot be written"):
            static_page.write(page, bytes(1_000_000), FACTS, runtime)
        with pytest.raises(UserError, match="cannot be written"), replacing(file) as temporary:
            temporary.write_bytes(bytes(1_000_000))
        filler.unlink()
        assert digest(disk) == before
        assert sorted(path.name for path in disk.iterdir()) == ["model.onnx", "page"]
