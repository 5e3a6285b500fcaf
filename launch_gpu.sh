#!/usr/bin/env bash
# Trains, restores or evaluates on Great Lakes (University of Michigan) or any Slurm cluster with GPUs:
#
#   sbatch --account=YOUR_ACCOUNT launch_gpu.sh \
#     --config=experiments/configs/rain1400_gpu.py --config.data.manifest=rain1400.csv \
#     --workdir=/scratch/.../runs/rain1400
#
# Everything after the script's name goes to experiments.train. Flags of sbatch override the lines
# below, and so do sbatch's variables (SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_TIMELIMIT):
#
#   --gres=gpu:4                                        4 GPUs of a node, one process
#   --gres=gpu:4 --ntasks-per-node=4 --cpus-per-task=4  one process a GPU
#   --nodes=4 --gres=gpu:4                              4 nodes
#
# Before the time limit the run is saved and the job puts itself back into the queue; so it does
# when a process was lost. docs/greatlakes.md tells the whole way, docs/reliability.md the rest.
#
# Variables, all optional:
#   FFTDIFF_VENV          virtual environment; made here when missing (.venv-cuda in the checkout)
#   FFTDIFF_MODULES       modules to load first, e.g. "python/3.11"
#   FFTDIFF_SCRATCH       for caches (the account's scratch folder, else ~/.cache)
#   FFTDIFF_LOCAL_SHARDS  1: copy the manifest's TFDS shards to each node's own disk first
#   FFTDIFF_VERB          what runs: train (the default), or restore or evaluate, whose photos the
#                         tasks of an array share: FFTDIFF_VERB=restore sbatch --array=0-63 ...
#   FFTDIFF_SHARDS        how many shards there are, where the array is a part of them: --array=3,7
#SBATCH --job-name=fftdiff_jax
#SBATCH --partition=spgpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
if [ $# -eq 0 ] || [ -z "${SLURM_JOB_ID:-}" ]; then
  echo "usage: sbatch --account=YOUR_ACCOUNT launch_gpu.sh --config=... --workdir=..." >&2
  echo "Without Slurm: python -m experiments.train with the same flags." >&2
  exit 2
fi
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")}"

say() { echo "launch_gpu.sh: $(date '+%F %T') $*"; }

# The value of --NAME=VALUE or --NAME VALUE among this script's arguments; the last one counts.
flag() {
  local name=$1 value=
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --"$name"=*) value=${1#*=} ;;
      --"$name") value=${2:-} ;;
    esac
    shift
  done
  echo "${value/#\~/$HOME}"
}

# ---- a virtual environment, made once -----------------------------------------------------------
if [ -n "${FFTDIFF_MODULES:-}" ]; then
  # shellcheck disable=SC2086
  module load $FFTDIFF_MODULES
fi
venv=${FFTDIFF_VENV:-$PWD/.venv-cuda}
if [ ! -x "$venv/bin/python" ] || [ -e "$venv/.unfinished" ]; then
  # The lock: jobs of an array start at once.
  (
    flock 9
    if [ ! -x "$venv/bin/python" ] || [ -e "$venv/.unfinished" ]; then
      say "making $venv"
      mkdir -p "$venv" && touch "$venv/.unfinished"
      python3 -m venv "$venv"
      "$venv/bin/python" -m pip install -q -e ".[training,${FFTDIFF_EXTRA:-cuda}]"
      rm "$venv/.unfinished"
    fi
  ) 9> "$venv.lock"
fi

# ---- places ---------------------------------------------------------------------------------------
scratch=${FFTDIFF_SCRATCH:-}
if [ -z "$scratch" ]; then
  account=${SLURM_JOB_ACCOUNT:-none}
  scratch=/scratch/${account}_root/$account/${USER:-$(id -un)}
  [ -d "$scratch" ] || scratch=$HOME/.cache
fi
export XDG_CACHE_HOME=$scratch # decoded photos
# Since Slurm 22.05 srun no longer takes this from sbatch: a task would get one core.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
arguments=(--noprogress --compilation_cache="$scratch/fftdiff_jax/xla" "$@")

if [ "${FFTDIFF_LOCAL_SHARDS:-0}" = 1 ] && [ "${FFTDIFF_VERB:-train}" = train ]; then
  manifest=$(flag config.data.manifest "$@")
  shards=$(realpath "${manifest%.csv}_tfds")
  here=${TMPDIR:-/tmp}/fftdiff_jax-${USER:-$(id -un)}$shards
  say "copying $shards to each node"
  # The lock: another job of this user may copy the same. Renamed when whole, so that a copy that
  # was cut short is not taken for one.
  srun --ntasks-per-node=1 --ntasks="${SLURM_JOB_NUM_NODES:-1}" bash -c '
    set -e
    mkdir -p "$(dirname "$2")"
    exec 9> "$2.lock"
    flock 9
    if ! cmp -s "$1/index.json" "$2/index.json"; then
      rm -rf "$2.new" "$2"
      cp -r "$1" "$2.new"
      mv "$2.new" "$2"
    fi' copy "$shards" "$here"
  arguments+=(--config.data.shards_dir="$here")
fi

job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID} # an array's own number means all of its tasks

supervise() { # SIGNAL COMMAND...: runs it, hands Slurm's warning on; leaves its exit code in $code
  local signal=$1
  shift
  "$@" &
  child=$!
  warned=0
  # shellcheck disable=SC2064
  trap "warned=1; say 'asked to save and end'; kill -$signal $child" USR1
  trap 'say "ended from outside"' TERM # by scancel or preemption: Slurm has told the steps itself
  while true; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2> /dev/null || break # else a trap cut the waiting short
  done
  code=0
  wait "$child" || code=$?
}

requeue() { # WHY WHERE: back into the queue, or else says how to go on
  say "exit code $code: $1"
  # Not when the user or Slurm has ended the job; and an interactive job cannot wait in a queue.
  if scontrol show job -o "$job" 2> /dev/null | grep -q 'JobState=RUNNING .*BatchFlag=1'; then
    say "back into the queue; it goes on from $2"
    scontrol requeue "$job" && exit 0
  fi
  say "the same command goes on from $2"
  exit "$code"
}

# ---- photos: one process a job, the tasks of an array share them ------------------------------------
if [ "${FFTDIFF_VERB:-train}" != train ]; then
  if [ -n "${FFTDIFF_SHARDS:-}" ]; then
    arguments+=(--shard="${SLURM_ARRAY_TASK_ID:-0}/$FFTDIFF_SHARDS")
  elif [ -n "${SLURM_ARRAY_TASK_COUNT:-}" ]; then
    arguments+=(--shard="$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))/$SLURM_ARRAY_TASK_COUNT")
  elif [ "$FFTDIFF_VERB" = restore ]; then
    arguments+=(--shard=0/1) # which goes on by itself after a requeue
  fi
  supervise TERM srun --nodes=1 --ntasks=1 "$venv/bin/python" -u -m "experiments.$FFTDIFF_VERB" \
    "${arguments[@]}"
  case $code in
    0) say "finished" ;;
    1 | 2 | 130) say "exit code $code: not to be mended by another try" ;;
    *)
      [ "$warned" = 0 ] || requeue "its time was up" "the photo it was at"
      # A photo that kills its process would do so for ever: three tries in all.
      if [ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]; then
        requeue "a process was lost" "the photo it was at"
      fi
      say "exit code $code after $((SLURM_RESTART_COUNT + 1)) starts: not tried again" ;;
  esac
  exit "$code"
fi

# ---- training, with Slurm's warning handed on -----------------------------------------------------
newest() { # the number of the newest checkpoint
  find "$(flag workdir "$@")/checkpoints" -maxdepth 1 -name '[0-9]*' 2> /dev/null \
    | sed 's|.*/||' | grep -x '[0-9]*' | sort -n | tail -n 1 || true
}
before=$(newest "$@")
supervise USR1 srun --kill-on-bad-exit=1 "$venv/bin/python" -u -m experiments.train "${arguments[@]}"

# ---- again? -----------------------------------------------------------------------------------------
case $code in
  0) say "finished" ;;
  75) requeue "saved as asked" "step $(newest "$@")" ;; # see fftdiff_jax/training/cluster/signals.py
  1 | 2 | 130) say "exit code $code: not to be mended by another try" ;;
  *)
    # A process was killed or lost. Without a new checkpoint, three tries in all.
    if [ "$(newest "$@")" != "$before" ] || [ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]; then
      requeue "a process was lost" "step $(newest "$@")"
    fi
    say "exit code $code, and no new checkpoint since the last start: not tried again"
    ;;
esac
exit "$code"
