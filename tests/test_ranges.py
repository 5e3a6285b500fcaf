"""Fields of the configuration: each has its range, and nothing outside it gets in."""

import dataclasses
import math
import typing

import numpy as np
import pytest

from fftdiff_jax import config as configuration
from fftdiff_jax import ranges
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import rain_spectrum
from fftdiff_jax.ranges import Lengths, Range

GROUPS = {field.name: type(getattr(Config(), field.name)) for field in dataclasses.fields(Config)}
HINTS = {
    (group, name): hint
    for group, kind in GROUPS.items()
    for name, hint in typing.get_type_hints(kind, include_extras=True).items()
}


def taken_apart(hint):
    if typing.get_origin(hint) is typing.Annotated:
        kind, *limits = typing.get_args(hint)
        return kind, limits
    return hint, []


NUMBERS = [place for place, hint in HINTS.items() if taken_apart(hint)[0] in (int, float)]
TUPLES = [place for place, h in HINTS.items() if typing.get_origin(taken_apart(h)[0]) is tuple]


def with_field(group, name, value):
    return configuration.from_dict({group: {name: value}})


def test_every_number_has_a_range_and_every_list_its_lengths():
    assert len(NUMBERS) > 30
    for place in NUMBERS:
        assert any(isinstance(limit, Range) for limit in taken_apart(HINTS[place])[1]), place
    assert len(TUPLES) >= 4
    for place in TUPLES:
        kind, limits = taken_apart(HINTS[place])
        assert any(isinstance(limit, Lengths) for limit in limits), place
        assert isinstance(taken_apart(typing.get_args(kind)[0])[1][0], Range), place


@pytest.mark.parametrize(("group", "name"), NUMBERS)
def test_what_lies_outside_or_is_not_finite_is_refused_by_name(group, name):
    kind, (limit, *_) = taken_apart(HINTS[group, name])
    below = limit.least - 1 if kind is int else np.nextafter(limit.least, -math.inf)
    wrong = [below, limit.most * 2, -1e300, math.nan, math.inf, 10**400, "1", None, [1], True]
    for value in wrong:
        with pytest.raises(UserError, match=f"config.{group}.{name}") as refused:
            with_field(group, name, value)
        assert "\n" not in str(refused.value)
    for value in (limit.least, limit.most):
        if value in limit:
            assert getattr(getattr(with_field(group, name, value), group), name) == value


@pytest.mark.parametrize(("group", "name"), TUPLES)
def test_lists_are_checked_item_by_item(group, name):
    for value in ([0.0] * 9, [-1.0] * 9, [math.nan] * 9, [1] * 100_000, "12", {}, [[1]] * 9):
        with pytest.raises(UserError, match=f"config.{group}.{name}") as refused:
            with_field(group, name, value)
        assert len(str(refused.value)) < 300


def test_every_choice_and_every_text_is_checked():
    for group, name in HINTS:
        kind = taken_apart(HINTS[group, name])[0]
        if kind is bool or kind is str or typing.get_origin(kind) is typing.Literal:
            for value in (7, 1.5, ["a"], {"a": 1}, None, 10_000 * "x", "a\0b"):
                with pytest.raises(UserError, match=f"config.{group}.{name}") as refused:
                    with_field(group, name, value)
                assert len(str(refused.value)) < 300


@pytest.mark.parametrize("tree", [[], 3, "text", None, {"model": [1]}, {"model": {"fold": {}}}])
def test_what_is_no_tree_of_fields_is_refused(tree):
    for read in (configuration.from_dict, configuration.from_saved):
        with pytest.raises(UserError, match="config"):
            read(tree)


def test_a_name_of_a_field_cannot_fill_the_terminal():
    for name in (100_000 * "x", "a\nb\x1b[31m"):
        with pytest.raises(UserError, match="there is no such field") as refused:
            configuration.from_dict({"model": {name: 1}})
        assert len(str(refused.value)) < 400
        assert str(refused.value).isprintable()


def test_fields_that_do_not_go_together_are_refused():
    for model, said in (
        ({"widths": [8, 16, 32]}, None),
        ({"widths": [8]}, "1 resolutions and model.blocks 3"),
        ({"blocks_up": [1]}, "one fewer than"),
    ):
        if said is None:
            configuration.from_dict({"model": model})
            continue
        with pytest.raises(UserError, match=said):
            configuration.from_dict({"model": model})


def test_a_configuration_that_was_made_in_python_is_checked_too():
    wrong = dataclasses.replace(Config().sampling, time_power=-1.0)
    with pytest.raises(UserError, match=r"time_power is -1\.0"):
        configuration.check(Config(sampling=wrong))


def test_numbers_of_numpy_are_numbers():
    found = configuration.from_dict(
        {"training": {"steps": np.int64(7), "clip_norm": np.float32(2)}}
    )
    assert type(found.training.steps) is int
    assert type(found.training.clip_norm) is float


def test_ends_of_a_range_that_do_not_belong_to_it():
    assert [x in Range(0, 1, above=True, below=True) for x in (0, 0.5, 1)] == [False, True, False]
    assert str(Range(0, 10_000)) == "from 0 to 10,000"
    assert math.nan not in Range(-math.inf, math.inf)


def test_a_value_in_a_message_is_short():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert len(ranges.shown(deep)) < 100
    assert len(ranges.shown(10**10_000)) < 100


def test_a_table_of_rain_has_as_many_numbers_as_are_read():
    assert len(rain_spectrum.DEFAULT_RAIN_SPECTRUM) == configuration.RAIN_NUMBERS
    assert 1 + len(rain_spectrum.KNOT_FREQUENCIES) == configuration.RAIN_NUMBERS
