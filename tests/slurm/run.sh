#!/usr/bin/env bash
# Trains across two nodes of a real Slurm on this machine, through launch_gpu.sh: one run is left
# alone; another has its processes on the second node killed, and is later told that its time is up.
# Both must end with the same losses, to the last bit.
#
#   tests/slurm/run.sh [PYTHON]    as root; PYTHON: of a virtual environment with the package
#
# It installs slurm-wlm and munge when missing, and ends everything that it started.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
python=$(realpath -s "${1:-$top/.venv/bin/python}")
patience=${PATIENCE:-600} # seconds until something that should happen counts as failed
# shellcheck source=tests/slurm/cluster.sh
. "$top/tests/slurm/cluster.sh"

if [ "$(id -u)" != 0 ]; then
  echo "tests/slurm/run.sh needs root, to start Slurm" >&2
  exit 77
fi
work=$(mktemp -d)
finish() {
  local code=$?
  if [ "$code" != 0 ]; then
    tail -n 40 "$work"/*.log "$work"/slurm/*.log 2> /dev/null || true
  fi
  cluster_stop
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM INT

say() { echo "== $(date +%T) $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
until_true() { # SENTENCE COMMAND...: waits until the command succeeds
  local sentence=$1 started=$SECONDS
  shift
  until "$@"; do
    [ $((SECONDS - started)) -lt "$patience" ] || fail "waited $patience s: $sentence"
    sleep 0.5
  done
  say "$sentence"
}

cluster_start "$work/slurm"
say "two nodes are up: $(sinfo -h -o '%N %G')"

# ---- two nodes, one process each, two simulated devices a process ----------------------------------
export FFTDIFF_VENV=${python%/bin/python} FFTDIFF_SCRATCH=$work/scratch PYTHONPATH=$top
export JAX_PLATFORMS=cpu
export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2"
export OMP_NUM_THREADS=1
steps=${STEPS:-100} # enough that the first kill comes long before the end
cd "$top"
mapfile -t flags < <("$python" -m tests.tiny "$work/pairs" "$steps" 10)
submit() { # WORKDIR: the job's number
  sbatch --parsable --account=local --nodes=2 --gres=gpu:1 --cpus-per-task=1 --mem=1G \
    --time=00:30:00 --output="$work/$1-%j.log" launch_gpu.sh "${flags[@]}" --workdir="$work/$1"
}
state() { scontrol show job -o "$1" | sed 's/.*JobState=\([A-Z]*\).*/\1/'; }
is_state() { [ "$(state "$1")" = "$2" ]; }
requeued() { # JOB RESTARTS: it waits in the queue, or runs, for the Nth time again
  scontrol show job -o "$1" | grep -q "Restarts=$2 "
}
at_step() { [ -e "$work/$1/checkpoints/$2/checksums.json" ]; }
start_now() { # Slurm lets a requeued job wait for two minutes; a few seconds it needs
  sleep 5
  scontrol update JobId="$1" StartTime=now 2> /dev/null || true
  is_state "$1" RUNNING
}

whole=$(submit whole)
until_true "job $whole has trained without interruption" is_state "$whole" COMPLETED
grep -q "^finished: " "$work/whole-$whole.log" || fail "the log does not say so"

job=$(submit parted)
until_true "job $job has saved step 10" at_step parted 10
# Every process of the training step on the second node, as a crash of that node would end them.
second=$("$python" - "$job" << 'EOF'
import glob, sys

wanted = {f"SLURM_JOB_ID={sys.argv[1]}".encode(), b"SLURM_PROCID=1"}
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(path, "rb") as file:
            if wanted <= set(file.read().split(b"\0")):
                print(path.split("/")[2])
    except OSError:
        pass  # it has ended, or is not ours
EOF
)
[ -n "$second" ] || fail "no process on the second node"
# shellcheck disable=SC2086
kill -KILL $second
until_true "killed on the second node, job $job is back in the queue" requeued "$job" 1
until_true "it runs again" start_now "$job"
saved=$(find "$work/parted/checkpoints" -maxdepth 1 -name '[0-9]0' | sed 's|.*/||' | sort -n | tail -n 1)
next=$((saved + 10))
until_true "it has saved step $next" at_step parted "$next"
scancel --batch --signal=USR1 "$job" # what --signal=B:USR1@300 does before the time limit
until_true "told that its time is up, job $job is back in the queue" requeued "$job" 2
grep -q "exit code 75: saved as asked" "$work/parted-$job.log" || fail "it was not saved as asked"
until_true "it runs again" start_now "$job"
until_true "job $job has trained to the end" is_state "$job" COMPLETED

# ---- the same losses -------------------------------------------------------------------------------
"$python" - "$work/whole" "$work/parted" << 'EOF'
import sys
from pathlib import Path

from tests.tiny import losses

whole, parted = (losses(Path(folder)) for folder in sys.argv[1:])
assert len(whole) == len(parted) > 0, (len(whole), len(parted))
assert whole == parted, "the losses differ"
print(f"{len(whole)} steps, equal to the last bit; the last loss: {whole[-1][1]}")
EOF

# ---- a job that its user ends stays ended ------------------------------------------------------------
rm -rf "$work/whole"
job=$(submit whole)
until_true "job $job has saved step 10" at_step whole 10
scancel "$job"
until_true "cancelled, job $job is not put back" is_state "$job" CANCELLED
sleep 3
is_state "$job" CANCELLED || fail "a cancelled job was put back into the queue"

# ---- by hand in an allocation: docs/greatlakes.md ----------------------------------------------------
salloc --account=local --nodes=2 --ntasks-per-node=1 --gres=gpu:1 --time=00:10:00 \
  ./launch_gpu.sh "${flags[@]}" --workdir="$work/parted" > "$work/salloc.log" 2>&1
grep -q "^finished: " "$work/salloc.log" || fail "salloc"
say "a finished run is found finished, in salloc"
say "passed in $SECONDS s"
