"""The training state, its optimiser, and how both begin."""

from __future__ import annotations

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float, Int, PyTree

from fftdiff_jax.config import Config, TrainingConfig
from fftdiff_jax.method.method import make_method
from fftdiff_jax.restore.weights import require_same_tree
from fftdiff_jax.training.growth import grow
from fftdiff_jax.training.muon import scale_by_muon

# What the kernels are multiplied by that see the denoiser's other pictures, where it starts as the
# first estimate's network.
OTHER_PICTURES = 0.1
_OUTER_LAYERS = {"entry", "exit"}


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes."""

    step: Int[Array, ""]  # updates done
    params: PyTree
    ema_params: PyTree  # exponential moving average of params: what restores photos
    opt_state: PyTree


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then AdamW, or Muon for the kernels inside the network.

    Under "muon" the first and the last layers, biases, norms and the layers of the condition stay
    with AdamW, which their shapes suit better (Jordan et al. 2024). Under `freeze_first` the first
    estimate stays as it is.
    """
    rate = rate_schedule(config)
    adamw = optax.adamw(
        lambda step: config.learning_rate * rate(step),
        b2=0.99,
        weight_decay=config.weight_decay,
        mask=_is_kernel,
    )
    optimizers = {"adamw": adamw, "frozen": optax.set_to_zero()}
    if config.optimizer == "muon":
        optimizers["muon"] = optax.chain(
            scale_by_muon(),
            optax.add_decayed_weights(config.muon_weight_decay),
            optax.scale_by_learning_rate(lambda step: config.muon_rate * rate(step)),
        )
    labels = functools.partial(_optimizer_of, config)
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm), optax.partition(optimizers, labels)
    )


def rate_schedule(config: TrainingConfig) -> optax.Schedule:
    """What the rates are multiplied by: up to 1 in `warmup_steps`, and down at the end.

    "cosine" falls all the way, to a hundredth. "constant" stays at 1 and falls in a straight line
    to 0 in the last `decay_steps` alone, so that the steps before do not depend on how many there
    are in all: a longer run goes on from them, and a finished one can be branched off anywhere
    (Hu et al. 2024, section 4).
    """
    warmup = min(config.warmup_steps, max(config.steps // 10, 1))
    if config.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=1.0,
            warmup_steps=warmup,
            decay_steps=max(config.steps, warmup + 1),  # a run of one step has nothing to decay
            end_value=0.01,
        )

    def rate(step: Int[Array, ""] | int) -> Float[Array, ""]:
        rising = jnp.minimum(step / warmup, 1.0)
        left = jnp.maximum(config.steps - step, 0)
        return jnp.minimum(rising, left / max(config.decay_steps, 1))

    return rate


def _is_kernel(params: PyTree) -> PyTree:
    # Decaying biases and norm scales only pulls them off what the data wants.
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _optimizer_of(config: TrainingConfig, params: PyTree) -> PyTree:
    def choose(path: tuple[Any, ...], leaf: Array) -> str:
        names = {getattr(key, "key", "") for key in path}
        if config.freeze_first and "first" in names:
            return "frozen"
        inside = leaf.ndim == 4 and not names & _OUTER_LAYERS
        return "muon" if inside and config.optimizer == "muon" else "adamw"

    return jax.tree_util.tree_map_with_path(choose, params)


def create_state(config: Config) -> TrainState:
    """The state before the first step, a function of the configuration alone."""
    params = make_method(config).init(jax.random.key(config.training.seed))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        # A copy: the step donates its buffers, and one buffer cannot be given away twice.
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=make_optimizer(config.training).init(params),
    )


def start_from(state: TrainState, params: PyTree, where: str) -> TrainState:
    """The state before the first step, with parameters that were trained before.

    Those of a network with fewer channels or blocks are taken into this one (training/growth.py).
    Where they hold no denoiser, it starts as the first estimate's network, which looks at its guess
    (at t = 1 the rainy photo), and at nothing else for long: its entry has small kernels for that.
    Theirs is left out where this state has none, since no draws are trained.

    Raises:
      UserError: they are those of another network; `where` names them.
    """
    params = {
        name: grow(tree, state.params[name]) if name in state.params else tree
        for name, tree in params.items()
        if name in state.params or name != "denoiser"
    }
    if "denoiser" in state.params and "denoiser" not in params and "first" in params:
        params = params | {"denoiser": _denoiser_from(params["first"], state.params["denoiser"])}
    require_same_tree(params, state.params, where)
    # Two copies: the step donates its buffers, and one buffer cannot be given away twice.
    params, ema = (jax.tree.map(jnp.array, params) for _ in range(2))
    return state.replace(params=params, ema_params=ema)


def _denoiser_from(first: PyTree, fresh: PyTree) -> PyTree:
    known = traverse_util.flatten_dict(first)
    started = traverse_util.flatten_dict(fresh)
    for path, leaf in started.items():
        source = known.get(path)
        if source is None:
            continue
        if source.shape == leaf.shape:
            started[path] = source
        elif "entry" in path:
            # Channels are (pixels of a fold, pictures): guess, rainy, first, latent.
            pictures = leaf.shape[-2] // (source.shape[-2] // 3)
            kernel = jnp.reshape(leaf, (*leaf.shape[:2], -1, pictures, leaf.shape[-1]))
            guess = jnp.reshape(source, (*kernel.shape[:3], 3, leaf.shape[-1]))
            kernel = (OTHER_PICTURES * kernel).at[:, :, :, :3].set(guess)
            started[path] = kernel.reshape(leaf.shape)
    return traverse_util.unflatten_dict(started)


def update_ema(ema: PyTree, params: PyTree, step: Int[Array, ""], decay: float) -> PyTree:
    """ema + (1 - d)(params - ema) with d = min(decay, (1 + n)/(10 + n)), n the steps before."""
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda e, p: e + (1 - d) * (p - e), ema, params)


def abstract_state(config: Config) -> Any:
    """Shapes and types of the state, without computing it."""
    return jax.eval_shape(lambda: create_state(config))
