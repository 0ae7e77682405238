#!/bin/bash
#SBATCH --job-name=bench-merge
#SBATCH --cpus-per-task=2
#SBATCH --time=00:30:00
# Puts the parts of slurm-shard.sh together:
#
#     sbatch --dependency=afterany:JOB slurm-merge.sh 8 results
set -euo pipefail

shards=$1
out=$2
shift 2
folders=()
for ((number = 1; number <= shards; number++)); do
    folders+=("$out-$number")
done
bench merge "${folders[@]}" --out "$out" "$@"
bench leaderboard "$out"
