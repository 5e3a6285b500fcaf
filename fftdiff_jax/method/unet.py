"""The conditional UNet: pictures and a condition in, a picture out.

It is built for fast training on CPUs as well as GPUs: pixels are folded into channels before the
first convolution, so that no thin, full-resolution layer is left; resolutions change by folding
and by nearest-neighbour growth, never by transposed convolutions. Normalisation, where there is
any, is over the channels of each pixel, so that what the network does at a pixel does not depend
on the size of the photo around it: trained on crops, it runs on whole photos and on tiles alike.

Blocks are of two kinds. "normed" ones see features of unit size (RMSNorm). "plain" ones have no
norm (Lim et al. 2017): features keep their size, and with it how strong the rain is, and a step of
training is a sixth cheaper on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fftdiff_jax.method.convolution import Conv

MODULATION_STD = 0.02  # of the kernels that modulate, at first


def space_to_depth(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Moves factor x factor pixels into channels; h and w must be multiples of the factor."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // factor, w // factor, factor * factor * c)


def depth_to_space(x: Float[Array, "b h2 w2 c2"], factor: int) -> Float[Array, "b h w c"]:
    """Inverse of `space_to_depth`."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // (factor * factor))
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * factor, w * factor, -1)


def level_features(log_snr: Float[Array, " b"], size: int = 32) -> Float[Array, "b size"]:
    """Sines and cosines of log-SNR / 4 at octave frequencies (after Vaswani et al. 2017)."""
    octaves = 2.0 ** jnp.arange(size // 2) / 2.0 ** (size // 4)
    angles = log_snr[:, None] / 4 * octaves
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions, the first one's output modulated by an embedding.

    Normed: x + conv(silu(modulate(conv(silu(norm(x)))))). Plain: x + conv(relu(modulate(conv(x)))).
    Without an embedding nothing is modulated.
    """

    width: int
    plain: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], embedding: Float[Array, "b e"] | None
    ) -> Float[Array, "b h w d"]:
        """Takes features and the embedded condition."""
        skip = x
        if x.shape[-1] != self.width:
            skip = Conv(self.width, 1, dtype=self.dtype, name="skip")(x)
        y = x if self.plain else nn.silu(nn.RMSNorm(dtype=self.dtype, name="norm")(x))
        y = Conv(self.width, 3, dtype=self.dtype, name="conv_in")(y)
        if embedding is not None:
            # Not zero at first: two draws that are equal have no spread to learn from.
            some = nn.initializers.normal(MODULATION_STD)
            modulation = nn.Dense(
                2 * self.width, kernel_init=some, dtype=self.dtype, name="modulation"
            )(embedding)
            scale, shift = jnp.split(modulation[:, None, None, :], 2, axis=-1)
            y = y * (1 + scale) + shift
        y = nn.relu(y) if self.plain else nn.silu(y)
        # Zero at first: a deep network starts as the identity (Goyal et al. 2017).
        zero = nn.initializers.zeros
        y = Conv(self.width, 3, kernel_init=zero, dtype=self.dtype, name="conv_out")(y)
        return skip + y


class UNet(nn.Module):
    """A UNet over any number of input channels (Ronneberger et al. 2015; Ho et al. 2020).

    Attributes:
      channels: of the output.
      fold: fold x fold pixels become channels at the entry.
      widths: channels at each resolution, finest first.
      blocks: residual blocks at each resolution on the way down.
      blocks_up: the same on the way up, without the coarsest; empty: as many as down.
      block: "normed" or "plain".
      dtype: of the convolutions; parameters and output stay float32.
    """

    channels: int
    fold: int = 2
    widths: Sequence[int] = (32, 64, 96)
    blocks: Sequence[int] = (1, 2, 2)
    blocks_up: Sequence[int] = ()
    block: str = "normed"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], condition: Float[Array, "b n"] | None = None
    ) -> Float[Array, "b h w d"]:
        """Any h and w: the picture is mirrored out to a multiple of `self.stride` and cut back.

        Args:
          x: the pictures.
          condition: numbers that hold for a whole picture, and modulate every block.
        """
        height, width = x.shape[1:3]
        x = pad_to_multiple(x, self.stride)
        embedding = None
        if condition is not None:
            size = self.widths[-1]
            embedding = nn.Dense(size, dtype=self.dtype, name="condition_in")(condition)
            embedding = nn.Dense(size, dtype=self.dtype, name="condition_out")(nn.silu(embedding))
            embedding = nn.silu(embedding)

        plain = self.block == "plain"
        h = space_to_depth(x.astype(self.dtype), self.fold)
        h = Conv(self.widths[0], 3, dtype=self.dtype, name="entry")(h)
        skips = []
        last = len(self.widths) - 1
        for i, (width_i, count) in enumerate(zip(self.widths, self.blocks, strict=True)):
            if i > 0:
                h = Conv(width_i, 1, dtype=self.dtype, name=f"shrink_{i}")(space_to_depth(h, 2))
            for j in range(count):
                h = ResidualBlock(width_i, plain, self.dtype, name=f"down_{i}_{j}")(h, embedding)
            skips.append(h)
        for i in range(last - 1, -1, -1):
            h = Conv(self.widths[i], 1, dtype=self.dtype, name=f"grow_{i}")(h)
            h = jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2) + skips[i]
            for j in range((self.blocks_up or self.blocks)[i]):
                name = f"up_{i}_{j}"
                h = ResidualBlock(self.widths[i], plain, self.dtype, name=name)(h, embedding)
        if not plain:
            h = nn.silu(nn.RMSNorm(dtype=self.dtype, name="exit_norm")(h))

        h = Conv(
            self.channels * self.fold**2,
            3,
            kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
            name="exit",
        )(h)
        return depth_to_space(h.astype(jnp.float32), self.fold)[:, :height, :width]

    @property
    def stride(self) -> int:
        """Pixels between neighbours at the coarsest resolution."""
        return self.fold * 2 ** (len(self.widths) - 1)


def pad_to_multiple(x: Float[Array, "b h w c"], multiple: int) -> Float[Array, "b h2 w2 c"]:
    """Mirrors a picture at its lower and right border until both sides are multiples."""
    rows, columns = (-x.shape[1]) % multiple, (-x.shape[2]) % multiple
    if rows == 0 and columns == 0:
        return x
    # "symmetric" repeats the border pixel and works for sides shorter than the padding.
    return jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="symmetric")


def count_parameters(params: object) -> int:
    """Numbers in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
