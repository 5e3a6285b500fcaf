"""Every layout of the published data sets, on a tree that the test makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fftdiff_jax.data.prepare.layouts import find_pairs, natural_key
from fftdiff_jax.errors import UserError


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")  # only names matter here
    return root


def found(root, layout, **options):
    result = find_pairs(layout, root, **options)
    pairs = [(p.clean.relative_to(root).as_posix(), p.rainy.relative_to(root).as_posix())
             for p in result.pairs]  # fmt: skip
    return pairs, [p.relative_to(root).as_posix() for p in result.unpaired]


@pytest.mark.parametrize(
    ("clean", "rainy"),
    [("ground_truth", "rainy_image"), ("ground truth", "rainy image"), ("images", "images_rain")],
)
def test_rain1400(tmp_path, clean, rainy):
    names = [f"{clean}/{scene}.jpg" for scene in (901, 902)]
    names += [f"{rainy}/{scene}_{i}.jpg" for scene in (901, 902) for i in range(1, 15)]
    pairs, unpaired = found(tree(tmp_path, *names), "rain1400")
    assert len(pairs) == 28
    assert not unpaired
    assert pairs[0] == (f"{clean}/901.jpg", f"{rainy}/901_1.jpg")
    assert pairs[9][1] == f"{rainy}/901_10.jpg"  # natural order
    for c, r in pairs:
        assert c.split("/")[1][:3] == r.split("/")[1][:3]


def test_rain1400_with_training_and_testing_side_by_side(tmp_path):
    names = [f"{part}/{side}" for part in ("training", "testing")
             for side in ("ground_truth/1.jpg", "rainy_image/1_1.jpg")]  # fmt: skip
    pairs, _ = found(tree(tmp_path, *names), "rain1400")
    assert sorted(pairs) == [
        ("testing/ground_truth/1.jpg", "testing/rainy_image/1_1.jpg"),
        ("training/ground_truth/1.jpg", "training/rainy_image/1_1.jpg"),
    ]


def test_rain1400_reports_photos_without_a_partner(tmp_path):
    tree(tmp_path, "ground_truth/1.jpg", "ground_truth/2.jpg", "rainy_image/1_1.jpg",
         "rainy_image/3_1.jpg")  # fmt: skip
    pairs, unpaired = found(tmp_path, "rain1400")
    assert len(pairs) == 1
    assert sorted(unpaired) == ["ground_truth/2.jpg", "rainy_image/3_1.jpg"]


RAIN100 = {
    "beside rainy/": (["norain-001.png", "norain-002.png"],
                      ["rainy/rain-001.png", "rainy/rain-002.png"]),
    "two folders": (["norain/norain-1.png", "norain/norain-12.png"],
                    ["rain/rain-1.png", "rain/rain-12.png"]),
    "zeros on one side": (["norain-001.png", "norain-010.png"], ["rain-1.png", "rain-10.png"]),
    "x2 on both": (["norain-1x2.png", "norain-2x2.png"], ["rain-1x2.png", "rain-2x2.png"]),
    "x2 on one": (["norain-1.png", "norain-2.png"], ["rain-1x2.png", "rain-2x2.png"]),
    "named norain in a folder rain": (["norain/norain-1x2.png", "norain/norain-2x2.png"],
                                      ["rain/X2/norain-1x2.png", "rain/X2/norain-2x2.png"]),
    "all in a folder rain": (["rain/norain-1.png", "rain/norain-2.png"],
                             ["rain/rain-1.png", "rain/rain-2.png"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", RAIN100)
def test_rain100(tmp_path, kind):
    clean, rainy = RAIN100[kind]
    tree(tmp_path, *clean, *rainy, "rainstreak-1.png", "rainregion-1.png", "._rain-1.png")
    pairs, unpaired = found(tmp_path, "rain100")
    assert pairs == list(zip(clean, rainy, strict=True))
    assert not unpaired


def test_rain800_pictures_hold_both(tmp_path):
    tree(tmp_path, "train/2.jpg", "train/10.jpg", "made_photos/left/2.png", "notes.txt")
    pairs, _ = found(tmp_path, "rain800", ignore=[tmp_path / "made_photos"])
    assert pairs == [("train/2.jpg", "train/2.jpg"), ("train/10.jpg", "train/10.jpg")]


@pytest.mark.parametrize(
    ("clean", "rainy"),
    [("gt", "input"), ("Clean", "Rainy"), ("norain", "rain"), ("target", "input")],
)
def test_folders_are_known_by_their_names(tmp_path, clean, rainy):
    tree(tmp_path, f"{clean}/a/1.png", f"{clean}/2.png", f"{rainy}/a/1.jpg", f"{rainy}/2.png")
    assert len(found(tmp_path, "folders")[0]) >= 1
    pairs, _ = found(tmp_path, "folders", clean=clean, rainy=rainy)
    assert sorted(pairs) == [
        (f"{clean}/2.png", f"{rainy}/2.png"), (f"{clean}/a/1.png", f"{rainy}/a/1.jpg")
    ]  # fmt: skip


def test_folders_elsewhere_than_below_the_root(tmp_path):
    tree(tmp_path, "a/x/1.png", "b/1.png")
    result = find_pairs("folders", tmp_path / "a", clean="../b", rainy="x")
    assert [(p.clean, p.rainy) for p in result.pairs] == [
        (tmp_path / "b/1.png", tmp_path / "a/x/1.png")
    ]


def test_a_regular_expression_of_ones_own(tmp_path):
    tree(tmp_path, "wet/s7_take3.jpg", "wet/s8_take1.jpg", "dry/scene-7.png", "dry/scene-9.png")
    pairs, unpaired = found(
        tmp_path, "regex", rainy=r"wet/s(\d+)_take\d\.jpg", clean=r"dry/scene-\1.png"
    )
    assert pairs == [("dry/scene-7.png", "wet/s7_take3.jpg")]
    assert unpaired == ["wet/s8_take1.jpg"]


MISTAKES = {
    "no root": (("folders", "none"), {}, "there is no such folder"),
    "empty": (("rain1400", "empty"), {}, "holds no photos"),
    "other layout": (("rain1400", "."), {}, "no pair fits the layout rain1400; found 2 photos"),
    "no known folder": (("folders", "."), {}, "found no folder of clean photos"),
    "one folder": (("folders", "."), {"clean": "x"}, "name both folders"),
    "missing folder": (("folders", "."), {"clean": "x", "rainy": "z"}, "z: there is no such"),
    "half an expression": (("regex", "."), {"rainy": "x"}, "needs both"),
    "bad expression": (("regex", "."), {"rainy": "(", "clean": "x"}, "not a regular expression"),
    "bad template": (("regex", "."), {"rainy": "x/.*", "clean": r"\2"}, "does not fit"),
    "bad layout": (("zip", "."), {}, "there is no layout 'zip'"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_named(tmp_path, kind):
    (layout, root), options, expected = MISTAKES[kind]
    tree(tmp_path, "x/1.png", "x/2.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=expected) as caught:
        find_pairs(layout, tmp_path / root, **options)
    assert "\n" not in str(caught.value)


@given(numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True),
       padding=st.integers(0, 7))  # fmt: skip
def test_numbers_pair_and_sort_by_value(tmp_path_factory, numbers, padding):
    root = tmp_path_factory.mktemp("t")
    tree(
        root, *(f"norain-{n:0{padding}d}.png" for n in numbers), *(f"rain-{n}.png" for n in numbers)
    )
    pairs, unpaired = found(root, "rain100")
    assert not unpaired
    assert [(int(c[7:-4]), int(r[5:-4])) for c, r in pairs] == [(n, n) for n in sorted(numbers)]
    names = [f"a{n}b" for n in numbers]
    order = np.argsort(numbers)
    assert sorted(names, key=natural_key) == [names[i] for i in order]


def test_the_same_names_in_two_subfolders_are_not_mixed(tmp_path):
    tree(tmp_path, "gt/one/x.png", "gt/two/x.png", "input/one/x.png", "input/two/x.png")
    assert found(tmp_path, "folders") == (
        [("gt/one/x.png", "input/one/x.png"), ("gt/two/x.png", "input/two/x.png")],
        [],
    )


def test_the_same_stem_with_two_suffixes_is_not_mixed(tmp_path):
    tree(tmp_path, "gt/1.png", "gt/1.jpg", "input/1.png", "input/1.jpg")
    expected = [("gt/1.jpg", "input/1.jpg"), ("gt/1.png", "input/1.png")]
    assert found(tmp_path, "folders") == (expected, [])
    assert found(tmp_path, "folders", clean="gt", rainy="input") == (expected, [])


def test_a_rainy_photo_that_fits_two_clean_ones_is_left_out(tmp_path):
    tree(tmp_path, "gt/1.png", "gt/1.bmp", "input/1.jpg", "gt/2.png", "input/2.jpg")
    pairs, alone = found(tmp_path, "folders")
    assert pairs == [("gt/2.png", "input/2.jpg")]
    assert set(alone) == {"gt/1.png", "gt/1.bmp", "input/1.jpg"}


def test_rain1400_with_subfolders_on_one_side_alone(tmp_path):
    names = [f"rainy_image/heavy/901_{i}.jpg" for i in (1, 2)]
    tree(tmp_path, "ground_truth/901.jpg", *names)
    assert found(tmp_path, "rain1400") == ([("ground_truth/901.jpg", n) for n in names], [])
