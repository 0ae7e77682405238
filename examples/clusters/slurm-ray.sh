#!/bin/bash
#SBATCH --job-name=bench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Starts Ray on all nodes of the job and one `bench run` on the first of them:
#
#     sbatch slurm-ray.sh --methods dift,dinov2 --datasets spair-71k --data-root DATA --weights paper --out results
#
# A job that was cut short goes on where it stopped when the same command is given again.
set -euo pipefail

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*}
# Two jobs that begin on one machine must not meet.
port=$((20000 + SLURM_JOB_ID % 10000))

# Nobody else on the network may hand work to this cluster. The token lies in the home folder, which all nodes see.
export RAY_AUTH_MODE=token
ray get-auth-token --generate > /dev/null
# Seconds that the nodes wait for each other; Ray's own 30 are few where Python is read from a network drive.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

# `ray symmetric-run` ends with 0 where Ray could not start, so the command itself leaves a mark.
mark=$PWD/.bench-$SLURM_JOB_ID
rm -f "$mark"
status=0
# shellcheck disable=SC2016  # The inner shell expands these.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" --include-dashboard=false -- \
    bash -c 'touch "$0" && exec "$@"' "$mark" \
    bench run --engine ray --address "$head:$port" "$@" || status=$?
if [ ! -e "$mark" ]; then
    echo "slurm-ray.sh: Ray did not start on all nodes; what it printed is above" >&2
    exit 1
fi
rm -f "$mark"
exit "$status"
