"""The training step: determinism, devices, what it learns from."""

import dataclasses
import functools
import json
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fftdiff_jax.config import (
    Config,
    DiffusionConfig,
    ModelConfig,
    RepresentationConfig,
    TrainingConfig,
)
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.metrics import frozen
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch, drawn_examples, spread_times
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.state import create_state, update_ema
from fftdiff_jax.training.step import AT_ONE, AXIS, batch_loss, make_train_step
from tests import quick_xla
from tests.commands import ROOT, environment

MODEL = ModelConfig(widths=(8, 16), blocks=(1, 1))
BASE = Config(model=MODEL, training=TrainingConfig(steps=100, batch_size=4, warmup_steps=1))
DIRECT = dataclasses.replace(
    BASE,
    model=dataclasses.replace(MODEL, prediction="direct"),
    representation=RepresentationConfig("signed_log", "raw", "constant"),
    diffusion=DiffusionConfig(noise="independent", target="noise"),
)


def crops(seed=0, count=4, side=32):
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (1, count, side, side, 3), np.uint8)
    rainy = np.clip(clean + rng.integers(0, 60, clean.shape), 0, 255).astype(np.uint8)
    return Batch(clean, rainy)


# Compiling is most of these tests' time: once a configuration, and for states that lie where a step
# leaves them.
step_of = functools.cache(make_train_step)
host_state = functools.cache(lambda config: jax.device_get(create_state(config)))


def start(config):
    """The state before the first step; a copy, since the step donates its buffers."""
    return processes.on_own_devices(jax.tree.map(np.copy, host_state(config)))


def run(config, count=3, batch=None, made=None):
    (state, step), losses = made or (start(config), step_of(config)), []
    for i in range(count):
        state, numbers = step(state, batch or crops(i), None)
        losses.append(float(numbers["loss"]))
    return state, losses


@pytest.mark.parametrize("config", [BASE, DIRECT], ids=["image_consistent", "direct"])
def test_a_run_repeats_itself_to_the_last_bit(config):
    one, losses = run(config)
    made = processes.on_own_devices(create_state(config)), make_train_step(config)
    other, again = run(config, made=made)
    assert losses == again
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_crops_lower_the_loss():
    config = dataclasses.replace(
        BASE, training=dataclasses.replace(BASE.training, learning_rate=3e-3)
    )
    _, losses = run(config, count=60, batch=crops())
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_the_seed_and_the_step_change_the_noise():
    """With the same parameters and crops, where every example is trained at a random time."""
    other = dataclasses.replace(DIRECT, training=dataclasses.replace(DIRECT.training, seed=1))

    def loss(config, at):
        state = start(DIRECT)
        state = state.replace(step=state.step + at)
        return float(step_of(config)(state, crops(), None)[1]["loss"])

    assert loss(DIRECT, 0) == loss(DIRECT, 0)
    assert len({loss(DIRECT, 0), loss(DIRECT, 1), loss(other, 0)}) == 3


def test_black_and_white_crops_give_finite_gradients():
    black = np.zeros((1, 4, 32, 32, 3), np.uint8)
    for config in (BASE, DIRECT):
        for batch in (Batch(black, black), Batch(black, black + 255), Batch(black + 255, black)):
            state, numbers = step_of(config)(start(config), batch, None)
            assert all(np.isfinite(float(value)) for value in numbers.values())
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_perceptual_term_raises_the_loss_by_its_share():
    weights = frozen.load("alexnet")
    losses = []
    for weight in (0.0, 0.1, 0.2):
        diffusion = dataclasses.replace(BASE.diffusion, perceptual_weight=weight)
        config = dataclasses.replace(BASE, diffusion=diffusion)
        _, numbers = step_of(config)(start(BASE), crops(), weights if weight else None)
        losses.append(float(numbers["loss"]))
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-4)


def test_a_perceptual_weight_loads_the_network():
    for weight in (0.0, 0.1):
        diffusion = dataclasses.replace(BASE.diffusion, perceptual_weight=weight)
        found = perceptual_network(diffusion)
        assert (found is not None) == (weight > 0)


def test_bfloat16_has_nearly_the_same_loss():
    fast = dataclasses.replace(BASE, model=dataclasses.replace(MODEL, dtype="bfloat16"))
    exact_losses, fast_losses = run(BASE, 5)[1], run(fast, 5)[1]
    np.testing.assert_allclose(fast_losses, exact_losses, rtol=0.01)


def with_share(share):
    return dataclasses.replace(
        BASE, diffusion=dataclasses.replace(BASE.diffusion, draw_share=share)
    )


@pytest.mark.parametrize("share", [0.0, 0.125, 0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_a_share_is_trained_for_draws_on_any_number_of_devices(share, batch):
    alone = drawn_examples(share, 1, batch)
    wanted = alone.indices[0][alone.counts[0]]
    assert alone.total == np.ceil(batch * share - 1e-9)
    halves = [(wanted < edge).sum() for edge in range(batch + 1)]
    assert np.abs(np.array(halves) - share * np.arange(batch + 1)).max() < 1
    for devices in (n for n in range(1, batch + 1) if batch % n == 0):
        split = drawn_examples(share, devices, batch // devices)
        everywhere = split.indices + batch // devices * np.arange(devices)[:, None]
        assert sorted(everywhere[split.counts]) == list(wanted)
        assert sorted(split.order[split.counts]) == list(range(len(wanted)))
        assert all(len(set(row)) == len(row) for row in split.indices)


@pytest.mark.parametrize(("total", "at_one"), [(8, 0.5), (8, 0.0), (6, 0.5), (8, 0.25)])
def test_a_share_of_the_times_is_1_and_the_rest_is_spread_evenly_below(total, at_one):
    for seed in range(20):
        times = np.sort(spread_times(jax.random.key(seed), jnp.arange(total), total, at_one))
        below = times[times < 1]
        assert len(below) == round(total * (1 - at_one))
        assert below[0] >= 0
        np.testing.assert_allclose(np.diff(below), 1 / len(below), atol=1e-5)
    # Each example has times of its own in every step, whoever the others are.
    some = spread_times(jax.random.key(19), jnp.arange(total)[1::2], total, at_one)
    assert set(map(float, some)) <= set(map(float, times))
    assert (
        len({float(spread_times(jax.random.key(i), jnp.array([0]), 1)[0]) for i in range(9)}) == 9
    )


def test_the_first_estimate_learns_from_every_example_with_draws_and_without():
    """What the draws' loss adds does not depend on the example that has none of it."""
    batch, differences = crops(), {}
    changed = Batch(batch.clean.copy(), batch.rainy)
    changed.clean[0, 1] = 255 - changed.clean[0, 1]  # a quarter of 4 examples is the first alone
    for share in (0.0, 0.25):
        one, other = (
            float(step_of(with_share(share))(start(BASE), examples, None)[1]["loss"])
            for examples in (batch, changed)
        )
        differences[share] = other - one
    assert differences[0.0] > 0.01
    assert differences[0.25] == pytest.approx(differences[0.0], rel=1e-4)


def gradient_of(config, state, batch):
    """Of the loss of a whole batch, on one device."""

    def loss(params):
        method = make_method(config)
        alone = jax.vmap(
            lambda *crops: batch_loss(
                config, method, params, Batch(*crops), jax.random.key(0), None
            ),
            axis_name=AXIS,
        )
        return alone(*batch)[0]

    return jax.jit(jax.grad(loss))(state.params)


def test_draws_are_no_business_of_the_first_estimates_network():
    """Its gradient is the same, to the size of rounding, with draws and without."""
    state = create_state(BASE)
    # At first the exit layers are 0, and nothing before them has a gradient.
    state = state.replace(params=jax.tree.map(lambda leaf: leaf + 0.01, state.params))
    alone, beside = (gradient_of(with_share(share), state, crops()) for share in (0.0, 0.5))
    pairs = zip(jax.tree.leaves(alone["first"]), jax.tree.leaves(beside["first"]), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(jnp.abs(a).max())))
    sizes = [float(optax.global_norm(tree["denoiser"])) for tree in (alone, beside)]
    assert sizes[0] == 0 < sizes[1]


def test_the_two_samples_of_an_example_are_two_draws_of_one_state(monkeypatch):
    """They see the same noisy states and times, and each latents of its own."""
    seen = []

    class Spy(Method):
        def predict(self, params, noisy, rainy, t, first, latent):
            seen.append((noisy, rainy, t, first, latent.numbers, latent.pixels))
            return super().predict(params, noisy, rainy, t, first, latent)

    config, batch = with_share(1.0), crops()
    given = {f.name: getattr(make_method(config), f.name) for f in dataclasses.fields(Method)}

    def look(clean, rainy):
        seen.clear()
        params = host_state(config).params
        batch_loss(config, Spy(**given), params, Batch(clean, rainy), jax.random.key(0), None)
        return tuple(seen)

    one, other = jax.jit(jax.vmap(look, axis_name=AXIS))(*batch)
    for a, b in zip(one[:4], other[:4], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one[4:], other[4:], strict=True):
        latents = np.concatenate([a[0], b[0]]).reshape(8, -1)  # two of each of four examples
        away = np.abs(latents[:, None] - latents[None]).max(axis=-1)
        assert away[~np.eye(8, dtype=bool)].min() > 0.5
    assert np.sum(np.asarray(one[2]) == 1) == round(4 * AT_ONE)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_frozen_first_estimate_stays_to_the_last_bit(optimizer):
    training = dataclasses.replace(
        BASE.training, optimizer=optimizer, freeze_first=True, weight_decay=0.1, learning_rate=0.01
    )
    config = dataclasses.replace(BASE, training=training)
    state, losses = run(config, count=3)
    assert np.isfinite(losses).all()
    for params in (state.params, state.ema_params):
        before = host_state(config).params
        pairs = zip(jax.tree.leaves(before["first"]), jax.tree.leaves(params["first"]), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
        kernels = ("entry", "exit", "down_0_0")
        for a, b in (
            (tree["denoiser"]["unet"][name] for tree in (before, params)) for name in kernels
        ):
            assert (
                max(
                    float(jnp.abs(x - y).max())
                    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
                )
                > 1e-5
            )


def test_a_loss_of_draws_alone_does_not_see_the_first_estimates_error():
    """Under `freeze_first` an example that is not drawn adds nothing."""
    training = dataclasses.replace(BASE.training, freeze_first=True)
    config = dataclasses.replace(BASE, training=training)
    batch = crops()
    changed = Batch(batch.clean.copy(), batch.rainy)
    changed.clean[0, 1] = 255 - changed.clean[0, 1]
    one, other = (
        float(step_of(config)(start(config), examples, None)[1]["loss"])
        for examples in (batch, changed)
    )
    assert one == pytest.approx(other, rel=1e-6)


def with_diffusion(base, **changes):
    return dataclasses.replace(base, diffusion=dataclasses.replace(base.diffusion, **changes))


CHOICES = {
    "velocity": with_diffusion(DIRECT, target="velocity"),
    "clean": with_diffusion(DIRECT, target="clean"),
    "linear": with_diffusion(DIRECT, schedule="linear"),
    "draws_alone": dataclasses.replace(
        with_diffusion(BASE, draw_share=1.0),
        training=dataclasses.replace(BASE.training, freeze_first=True),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_a_recipe_learns_a_crop_by_heart(name):
    config = CHOICES[name]
    state, step, losses = start(config), step_of(config), []
    for _ in range(30):
        state, numbers = step(state, crops(), None)
        losses.append(float(numbers["loss"]))
    assert np.isfinite(losses).all()
    # The first step again, with the same times and noise.
    _, numbers = step(start(config).replace(params=state.params), crops(), None)
    assert float(numbers["loss"]) < 0.95 * losses[0]


def test_ema_warms_up_and_then_follows_its_decay():
    ema, params = {"w": jnp.zeros(1)}, {"w": jnp.ones(1)}
    early = update_ema(ema, params, jnp.int32(0), 0.999)["w"]
    late = update_ema(ema, params, jnp.int32(10**6), 0.999)["w"]
    assert float(early[0]) == pytest.approx(1 - 1 / 10)
    assert float(late[0]) == pytest.approx(1e-3, rel=1e-3)


PROGRAM = """
    import json
    import jax, numpy as np
    from tests.training.test_step import BASE, crops, host_state, step_of
    from fftdiff_jax.training.cluster.processes import _whole_on
    from fftdiff_jax.training.examples import Batch
    found = []
    for count in (1, 2, 8):
        state, losses = jax.device_put(host_state(BASE), _whole_on(jax.devices()[:count])), []
        for i in range(5):
            batch = Batch(*(x.reshape(count, -1, *x.shape[2:]) for x in crops(i, count=8)))
            state, numbers = step_of(BASE)(state, batch, None)
            losses.append(float(numbers["loss"]))
        total = [float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(state.params)]
        devices = len(numbers["loss"].devices())
        found.append({"devices": devices, "losses": losses, "params": total})
    print(json.dumps(found))
"""


def test_several_devices_do_what_one_does():
    """Same loss and same parameters to float tolerance, on simulated devices.

    Of 8 examples 2 are trained for draws too: on 2 devices one each, on 8 only two have one.
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        cwd=ROOT,
        env=environment(XLA_FLAGS=quick_xla.with_devices(8)),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(result.stdout.splitlines()[-1])
    one, *others = found
    for several in others:
        np.testing.assert_allclose(several["losses"], one["losses"], rtol=1e-5)
        np.testing.assert_allclose(several["params"], one["params"], rtol=1e-4)
    assert [each["devices"] for each in found] == [1, 2, 8]
