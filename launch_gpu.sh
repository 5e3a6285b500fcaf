#!/usr/bin/env bash
# Trains on Great Lakes (University of Michigan) or any Slurm cluster with GPUs:
#
#   sbatch --account=YOUR_ACCOUNT launch_gpu.sh \
#     --config=experiments/configs/rain1400_gpu.py --config.data.manifest=rain1400.csv \
#     --workdir=$SCRATCH/runs/rain1400
#
# Flags of sbatch (--time, --gres, --partition) override the lines below. Everything after the
# script's name goes to experiments.train. Submitted again, a run goes on where it stopped.
#SBATCH --job-name=fftdiff_jax
#SBATCH --partition=spgpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=08:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"

# A virtual environment beside the checkout, made once.
venv=${FFTDIFF_VENV:-$PWD/.venv-cuda}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -e ".[cuda]"
fi

srun --kill-on-bad-exit=1 "$venv/bin/python" -m experiments.train --noprogress "$@"
