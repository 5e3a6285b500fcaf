#!/usr/bin/env bash
# Photos shared by the tasks of an array, on two nodes of a real Slurm on this machine, through
# launch_gpu.sh: one task's process is killed, and no photo that was done is done again. Then an
# array that evaluates must write the table that one process writes.
#
#   tests/slurm/array.sh [PYTHON]    as root; PYTHON: of a virtual environment with the package
set -euo pipefail
# shellcheck source=tests/slurm/cluster.sh
. "$(dirname "$0")/cluster.sh"
prepare "${1:-}"

export FFTDIFF_VENV=${python%/bin/python} FFTDIFF_SCRATCH=$work/scratch PYTHONPATH=$top
export XDG_STATE_HOME=$work/state JAX_PLATFORMS=cpu OMP_NUM_THREADS=1
XLA_FLAGS=$("$python" -c "from tests import quick_xla; print(quick_xla.with_devices(1))")
export XLA_FLAGS
cd "$top"

# ---- photos, one of them broken, and a list of them ------------------------------------------------
"$python" - "$work" << 'PYTHON'
import sys
from pathlib import Path

import numpy as np
from skimage import data

from fftdiff_jax.data.images import save_png
from tests import tiny

work = Path(sys.argv[1])
tiny.write_checkpoint(work / "model")
tiny.write_pairs(work / "pairs")
names = [f"photos/{i % 3}/{i}.png" for i in range(24)]
for i, name in enumerate(names):
    save_png(work / name, np.roll(data.coffee()[: 60 + 8 * i, :96], i, axis=1))
(work / "photos" / "broken.jpg").write_bytes(b"no photo")
(work / "photos.txt").write_text("\n".join([*names, "photos/broken.jpg"]) + "\n")
PYTHON
cluster_start "$work/slurm"
say "two nodes are up: $(sinfo -h -o '%N %G')"
array() { # VERB TASKS NAME FLAG...: the number of an array of jobs
  local verb=$1 tasks=$2 name=$3
  shift 3
  FFTDIFF_VERB=$verb sbatch --parsable --account=local --array="$tasks" --time=02:00:00 --mem=1G \
    --cpus-per-task=8 --gres=gpu:1 --output="$work/$name-%a.log" launch_gpu.sh \
    --checkpoint="$work/model" "$@"
}
done_of() { # SHARD: how many results of it are there
  "$python" - "$work/out" "$1" << 'PYTHON'
import json, sys
from pathlib import Path

out, shard = Path(sys.argv[1]), int(sys.argv[2])
lines = [json.loads(line) for plan in out.glob(".shards/*/plan.jsonl") for line in plan.open()]
own = [line for line in lines if isinstance(line, list) and line[0] == shard]
print(sum((out / line[2]).exists() for line in own))
PYTHON
}
has_some() { [ "$(done_of "$1")" -ge 2 ]; }

# ---- three tasks restore; the second one's process is killed in the middle --------------------------
job=$(array restore 0-2 restore --list="$work/photos.txt" --output="$work/out" --draws=1 --steps=40)
until_true "task 1 of the array $job has restored two photos" has_some 1
victim=$("$python" - "$job" << 'PYTHON'
import glob, sys

wanted = {f"SLURM_ARRAY_JOB_ID={sys.argv[1]}".encode(), b"SLURM_ARRAY_TASK_ID=1"}
for path in glob.glob("/proc/[0-9]*"):
    try:
        with open(f"{path}/environ", "rb") as file, open(f"{path}/cmdline", "rb") as command:
            words = command.read().split(b"\0")
            restores = b"experiments.restore" in words and b"python" in words[0]
            if restores and wanted <= set(file.read().split(b"\0")):
                print(path.split("/")[2])
    except OSError:
        pass  # it has ended, or is not ours
PYTHON
)
[ -n "$victim" ] || fail "no process of task 1"
# shellcheck disable=SC2086
kill -KILL $victim
left=$(done_of 1)
find "$work/out" -name '*.png' -printf '%P %T@ %i\n' | sort > "$work/before"
until_true "killed with $left done, task 1 is back in the queue" requeued "${job}_1" 1
[ "$(done_of 1)" = "$left" ] || fail "the killed task went on"
until_true "it runs again" start_now "${job}_1"
until_true "the array $job has ended" ended "$job"
grep -q "$left are there already" "$work/restore-1.log" || fail "task 1 did not go on where it was"
find "$work/out" -name '*.png' -printf '%P %T@ %i\n' | sort > "$work/after"
[ -z "$(comm -23 "$work/before" "$work/after")" ] || fail "a photo that was done was done again"
"$python" - "$work" << 'PYTHON'
import collections, json, sys
from pathlib import Path

work = Path(sys.argv[1])
found = json.loads((work / "out" / "summary.json").read_text())
assert found["photos"] == 25 and found["restored"] == 24 and found["missing"] == 0, found
assert found["unfinished"] == [] and len(found["refused"]) == 1, found
assert "broken.jpg" in found["refused"][0]
results = {str(p.relative_to(work / "out")) for p in (work / "out").rglob("*.png")}
assert results == {f"{i % 3}/{i}.png" for i in range(24)}, results
# One line of the record for each result: written once. The killed task may lack its last.
records = [path for path in (work / "state").rglob("*_of_3") if path.is_file()]
lines = [line for path in records for line in path.read_bytes().splitlines() if line]
times = collections.Counter(json.loads(line)[0] for line in lines)
assert set(times.values()) == {1} and len(times) >= 23, times
print(f"{len(results)} photos, each restored once; {len(records)} tasks; {found['hours']:.3f} hours")
PYTHON
grep -q "24 of 25 restored, 1 refused, 0 missing" "$work"/restore-?.log || fail "no sum was printed"

# ---- an array evaluates: the table of one process ---------------------------------------------------
scores=(--manifest="$work/pairs/pairs.csv" --split=train --nolpips)
job=$(array evaluate 0-1 scores "${scores[@]}" --output="$work/scores")
until_true "the array $job has ended" ended "$job"
"$python" -m experiments.evaluate --noprogress --checkpoint="$work/model" "${scores[@]}" \
  --output="$work/alone" --compilation_cache="$work/scratch/fftdiff_jax/xla" > "$work/alone.log"
"$python" - "$work" << 'PYTHON'
import csv, json, sys
from pathlib import Path

tables = []
for name in ("scores", "alone"):
    folder = Path(sys.argv[1]) / name
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert json.loads((folder / "summary.json").read_text())["num_images"] == len(rows) == 4
    tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
assert tables[0] == tables[1], "the array's table is another one"
print("an array of two jobs wrote the table of one process")
PYTHON
for task in 0 1; do
  grep -q "this part is done\|summary.json" "$work/scores-$task.log" \
    || fail "task $task of the array has not ended well"
done
say "passed in $SECONDS s"
