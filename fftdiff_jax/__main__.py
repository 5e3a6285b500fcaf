"""The command, as fftdiff-jax or as python -m fftdiff_jax.

Nothing slow is imported here, and of the verbs only the one that runs.
"""

from __future__ import annotations

import difflib
import os
import sys
from typing import NoReturn

DEFAULT = "restore"
VERBS = {
    "restore": "remove rain from photos; the default",
    "train": "train a restorer, or go on where a run stopped",
    "evaluate": "restore and score the pairs of a manifest, with a report",
    "prepare": "make a manifest of a data set, and shards, spectra and statistics of it",
    "demo": "serve a page on which photos are dropped",
    "inspect": "draw a pair, its spectra, noise, draws and errors",
    "compare": "train recipes side by side: one table, one figure",
    "benchmark": "measure training, sampling, data and start-up",
    "scaling": "estimate a recipe's hours on 1 to 16 GPUs",
    "export": "write an ONNX model, or a page that runs it in a browser, with no server",
    "pack": "pack a run's weights into one small file",
    "unseen_rain": "draw rain of another kind than training's onto clean photos",
}
HELP = """Removes rain from photos, and trains and evaluates what does.

    fftdiff-jax photo.jpg                      into restored/photo.jpg
    fftdiff-jax photos 'more/*.jpg' -o out     folders and patterns, into out/
    fftdiff-jax train --config=quickstart --workdir=runs/quickstart

Verbs (fftdiff-jax VERB -h lists the flags of each):

{verbs}

  -h, --help   this page          --version   the version

A photo that is called like a verb is reached as ./train, and after -- no word is a flag or a verb.
python -m fftdiff_jax is the same command.
"""


def main(verb: str | None = None) -> NoReturn:
    """Runs a verb with the words of the command line, and ends the process.

    Args:
      verb: one of `VERBS`; left out: the first word where it is one, else restore.
    """
    words = sys.argv[1:]
    if verb is None:
        if not words or words[0] in ("-h", "--help"):
            lines = (f"  {name:<12} {summary}" for name, summary in VERBS.items())
            _say(HELP.format(verbs="\n".join(lines)))
        if words[0] == "--version":
            from fftdiff_jax import __version__

            _say(f"fftdiff-jax {__version__}\n")
    from fftdiff_jax.commands import command_line

    if verb is None:
        word = words[0]
        near = difflib.get_close_matches(word, VERBS, n=1)
        if word in VERBS:
            words = words[1:]
        elif near and word.replace("_", "").isalpha() and not os.path.lexists(word):
            command_line.fail(f"there is no photo and no verb {word}; did you mean {near[0]}?")
        verb = word if word in VERBS else DEFAULT
    command_line.run(verb, words)


def _say(text: str) -> NoReturn:
    """Prints the text and ends the process; a line where it cannot be printed."""
    try:
        print(text, end="", flush=True)
    except OSError as error:  # a full disk, or nobody who reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"error: the output cannot be written ({(error.strerror or '').lower()})")
    sys.exit(0)


if __name__ == "__main__":
    main()
