#!/bin/bash
#SBATCH --job-name=bench-shard
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Runs one part of N of a sweep in each job of an array, without Ray:
#
#     sbatch --array=1-8 slurm-shard.sh 8 results --methods dift,dinov2 --datasets spair-71k --data-root DATA
#
# N is given and not taken from the array, so that `--array=3` alone repeats part 3 of 8.
set -euo pipefail

shards=$1
out=$2
shift 2
bench run --shard "$SLURM_ARRAY_TASK_ID/$shards" --out "$out-$SLURM_ARRAY_TASK_ID" "$@"
