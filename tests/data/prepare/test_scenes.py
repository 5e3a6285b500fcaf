"""No scene in two splits, and near-duplicates found."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from fftdiff_jax.data.prepare import scenes
from fftdiff_jax.errors import UserError
from tests.data.trees import photo


@given(
    labels=st.lists(st.integers(0, 12), max_size=60),
    joined=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=10),
    share=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_no_scene_is_in_two_splits(labels, joined, share, seed):
    joined = [(i, j) for i, j in joined if i < len(labels) and j < len(labels)]
    groups = scenes.merge_scenes(labels, joined)
    splits = scenes.split_groups(groups, share, seed)
    assert len(splits) == len(labels)
    assert set(splits) <= {"train", "val"}
    for one in range(len(labels)):
        for other in range(one):
            if labels[one] == labels[other]:
                assert groups[one] == groups[other]
                assert splits[one] == splits[other]
    for i, j in joined:
        assert groups[i] == groups[j]
        assert splits[i] == splits[j]
    assert splits == scenes.split_groups(groups, share, seed)


@given(count=st.integers(2, 200), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_the_share_is_met_where_scenes_are_single(count, share, seed):
    splits = scenes.split_groups(list(range(count)), share, seed)
    assert 1 <= splits.count("val") < count
    assert abs(splits.count("val") - share * count) <= 1


def test_unrelated_scenes_are_not_joined():
    assert scenes.merge_scenes(["a", "b", "a", "c"], [(1, 3)]) == [0, 1, 0, 1]


def test_all_or_nothing_for_val():
    assert scenes.split_groups([0, 1, 2], 0.0, 0) == ["train"] * 3
    assert scenes.split_groups([0, 1, 2], 1.0, 0) == ["val"] * 3
    with pytest.raises(UserError, match="between 0 and 1"):
        scenes.split_groups([0], 1.5, 0)


PHOTOS = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]


def changed(picture):
    """The same photo as other sites keep it: smaller, compressed harder, brighter."""
    image = Image.fromarray(picture)
    image = image.resize((image.width * 2 // 3, image.height * 2 // 3))
    image = image.point(lambda v: min(255, int(v * 1.08) + 6))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def test_near_duplicates_are_found_and_nothing_else():
    copies = [changed(picture) for picture in PHOTOS]
    others = [photo(100, 140, seed) for seed in range(6)]
    prints = [scenes.fingerprint(p) for p in [*PHOTOS, *copies, *others]]
    assert scenes.near_duplicates(prints) == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_flat_photos_are_compared_by_their_thumbnails():
    black, grey = (np.full((50, 50, 3), value, np.uint8) for value in (0, 128))
    prints = [scenes.fingerprint(p) for p in (black, black.copy(), grey)]
    assert scenes.near_duplicates(prints) == [(0, 1)]


def test_a_scenes_file_is_read_and_its_contradictions_refused(tmp_path):
    path = tmp_path / "scenes.csv"
    path.write_text("file,scene,split\na.jpg,0,train\nb.jpg,0,train\nc.jpg,1,val\n")
    assert scenes.read_scenes(path)["b.jpg"] == ("0", "train")
    for text, expected in [
        ("file,scene\na,0\n", "column split is missing; found file, scene"),
        ("file,scene,split\na,0,train\nb,0,val\n", "row 3: scene 0 is in train and in val"),
        ("file,scene,split\na,0,train\na,0,train\n", "row 3: a stands there twice"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=expected):
            scenes.read_scenes(path)
