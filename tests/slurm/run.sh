#!/usr/bin/env bash
# Trains across two nodes of a real Slurm on this machine, through launch_gpu.sh: one run is left
# alone; another has its processes on the second node killed, and is later told that its time is up.
# Both must end with the same losses, to the last bit. Then every other command of docs/greatlakes.md.
#
#   tests/slurm/run.sh [PYTHON]    as root; PYTHON: of a virtual environment with the package
#
# It installs slurm-wlm and munge when missing, and ends everything that it started.
set -euo pipefail
# shellcheck source=tests/slurm/cluster.sh
. "$(dirname "$0")/cluster.sh"
prepare "${1:-}"

cluster_start "$work/slurm"
say "two nodes are up: $(sinfo -h -o '%N %G')"

# ---- two nodes, one process each, two simulated devices a process ----------------------------------
export FFTDIFF_VENV=${python%/bin/python} FFTDIFF_SCRATCH=$work/scratch PYTHONPATH=$top
export JAX_PLATFORMS=cpu
XLA_FLAGS=$("$python" -c "from tests import quick_xla; print(quick_xla.with_devices(2))")
export XLA_FLAGS JAX_COMPILATION_CACHE_DIR=$work/xla
export OMP_NUM_THREADS=1
steps=${STEPS:-100} # enough that the first kill comes long before the end
cd "$top"
mapfile -t flags < <("$python" -m tests.tiny "$work/pairs" "$steps" 10)
submit() { # WORKDIR FLAG...: the job's number; --config... goes to training, the rest to sbatch
  local folder=$1 flag job_flags=() more=()
  shift
  for flag in "$@"; do
    case $flag in --config.*) more+=("$flag") ;; *) job_flags+=("$flag") ;; esac
  done
  sbatch --parsable --account=local --nodes=2 --gres=gpu:1 --cpus-per-task=1 --mem=1G \
    --time=00:30:00 "${job_flags[@]}" --output="$work/$folder-%j.log" \
    launch_gpu.sh "${flags[@]}" --workdir="$work/$folder" "${more[@]}"
}
at_step() { [ -e "$work/$1/checkpoints/$2/checksums.json" ]; }
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

# ---- the real time limit: Slurm itself sends the signal ----------------------------------------------
# Slurm keeps time in minutes: its signal may come up to one minute earlier than it is asked for.
job=$(submit limited --time=00:02:00 --signal=B:USR1@60 --config.training.steps=100000)
until_true "job $job is running" is_state "$job" RUNNING
squeue --me --noheader --format=%i | grep -qx "$job" || fail "squeue --me"
until_true "before its time limit, job $job is back in the queue" requeued "$job" 1
grep -q "asked to save and end" "$work/limited-$job.log" || fail "the script heard nothing"
grep -q "exit code 75: saved as asked" "$work/limited-$job.log" || fail "it was not saved as asked"
scancel "$job"
until_true "job $job is gone" is_state "$job" CANCELLED

# ---- other shapes of a job, and shards that are copied to each node ----------------------------------
"$python" -m experiments.prepare --output="$work/pairs/pairs.csv" --tfds > "$work/prepare.log"
export TMPDIR=$work/disk # of both nodes: they are one machine
mkdir -p "$TMPDIR"
shape() { # WORKDIR RANKS FLAG...: trains six steps; so many devices work together (0: one process)
  local name=$1 ranks=$2 job
  shift 2
  job=$(submit "$name" "$@" --config.training.steps=6 --config.training.checkpoint_every=6)
  until_true "job $job ($name) has ended" ended "$job"
  is_state "$job" COMPLETED || fail "$name: $(state "$job")"
  grep -q "^finished: " "$work/$name-$job.log" || fail "$name: the log does not say so"
  # Each of gloo's ranks says how many others it is connected to; one process has no need of gloo.
  if [ "$ranks" = 0 ]; then
    ! grep -q "peer ranks" "$work/$name-$job.log" || fail "$name: more than one process"
  else
    grep -q "peer ranks is : $((ranks - 1))\$" "$work/$name-$job.log" || fail "$name: not $ranks ranks"
  fi
}
shape one_gpu 0 --nodes=1 --gres=gpu:1
shape a_node 0 --nodes=1 --gres=gpu:2 --cpus-per-task=2
shape one_a_gpu 4 --nodes=1 --gres=gpu:2 --ntasks-per-node=2
FFTDIFF_LOCAL_SHARDS=1 shape shards 4 --nodes=2 --config.data.source=tfds
cmp "$TMPDIR/fftdiff_jax-$(id -un)$work/pairs/pairs_tfds/index.json" \
  "$work/pairs/pairs_tfds/index.json" || fail "no copy of the shards"
unset TMPDIR

# ---- by hand in an allocation: docs/greatlakes.md ----------------------------------------------------
salloc --account=local --partition=spgpu --nodes=2 --ntasks-per-node=1 --gres=gpu:1 \
  --time=00:10:00 ./launch_gpu.sh "${flags[@]}" --workdir="$work/try" \
  --config.training.steps=6 > "$work/salloc.log" 2>&1
grep -q "^finished: " "$work/salloc.log" || fail "salloc: not finished"
grep -q "peer ranks is : 3$" "$work/salloc.log" || fail "salloc: not two processes"
say "trained in an allocation of salloc"
say "passed in $SECONDS s"
