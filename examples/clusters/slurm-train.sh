#!/bin/bash
#SBATCH --job-name=bench-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Trains one prompt on the GPUs of all nodes of the job:
#
#     sbatch slurm-train.sh sd4match-cpm --dataset spair-71k --data-root DATA --weights paper --precision fp16
#
# The folder of the training must be one that all nodes see. PROCESSES is the number of processes on a node.
set -euo pipefail

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*}
port=$((30000 + SLURM_JOB_ID % 10000))
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${PROCESSES:-$SLURM_GPUS_ON_NODE}" \
    --rdzv-backend c10d --rdzv-endpoint "$head:$port" --rdzv-id "$SLURM_JOB_ID" \
    -m harness.cli train "$@"
