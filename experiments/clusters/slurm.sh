#!/usr/bin/env bash
# lussweep on Slurm: one job starts one Ray cluster, which ends with the job (`ray symmetric-run`, from
# Ray 2.49 on).
#
# Fill in the #SBATCH lines below, for your cluster's nodes, time limit, partition and account. If the
# nodes have no GPUs, remove the line --gpus-per-node.
#
# Once, on the login node, in your home if the compute nodes share it (if not, set LUSSWEEP_VENV):
#   python3 -m venv ~/uv && ~/uv/bin/pip install uv
#   ~/uv/bin/uv venv --python 3.11.13 ~/lussweep-venv
#   ~/uv/bin/uv pip install --python ~/lussweep-venv/bin/python \
#     "ray[default,tune,train]==2.60.0" "torch==2.13.0" --editable CHECKOUT
#
# Use, with the arguments of `lussweep grid`; --out and --store must be in a folder that all nodes share:
#   sbatch experiments/clusters/slurm.sh EXPERIMENT --data /shared/store --out /shared/runs/NAME
#   tail -f lussweep-JOBID.log                # the output of Ray is in lussweep-JOBID.ray.log
#   ~/lussweep-venv/bin/lussweep status /shared/runs/NAME
#   ssh -L 8265:localhost:8265 FIRST_NODE     # the dashboard; `ray get-auth-token` shows its token
#
# Two minutes before the time limit the run stops in order. The same sbatch line goes on where it ended.
# For a long run, submit the line several times at once, with
#   sbatch --dependency=singleton experiments/clusters/slurm.sh ...
# Each job then waits for the one before it. A job that finds the run finished ends at once. A job that
# Slurm requeues (preemption, a lost node) goes on, too.
#
# To stop a run in order, use `lussweep cancel /shared/runs/NAME`, or
# `scancel --batch --signal=TERM JOBID`. Plain `scancel JOBID` ends Ray at once: finished steps are kept,
# but GANs lose the work since their last checkpoint. The job is charged until it ends.
#
#SBATCH --job-name=lussweep
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=2
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
# Processes of other users on a node could reach Ray's ports, and their Ray could disturb ours.
#SBATCH --exclusive
set -euo pipefail

# shellcheck disable=SC1091
source "${LUSSWEEP_VENV:-$HOME/lussweep-venv}/bin/activate"

# Without RAY_AUTH_MODE, Ray would be open to everybody on the cluster's network. The token is in the
# shared home. It is never in a command line or the job's environment, which others may read.
export RAY_AUTH_MODE=token
unset RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
(umask 077 && ray get-auth-token --generate > /dev/null)
chmod 700 "$HOME/.ray"
chmod 600 "$HOME/.ray/auth_token"

# Settings that lussweep itself gives a local Ray only.
export RAY_preload_python_modules=torch
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
export RAY_TRAIN_ENABLE_PREEMPTION_WATCHER=0
export RAY_TRAIN_HEALTH_CHECK_INTERVAL_S=0.25
# The output stays in a file, so patients of failed steps are hashed in it, as in RUN/logs.
export LUSSWEEP_OUTPUT_IS_KEPT=1
# Nodes of a busy cluster need more than Ray's 30 s to import Ray from a shared disk.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
# /tmp/ray may belong to another user. The path is short: a socket's path has at most 107 letters.
export RAY_TMPDIR="/tmp/ray-$SLURM_JOB_ID"
export LUSSWEEP_RAY_IS_UP="$RAY_TMPDIR.up"

# This script runs on the first node, which is the head. Ray gets the IP address of the head, because
# its name may mean 127.0.1.1 on this node.
addresses=$(hostname --all-ip-addresses)
address="${addresses%% *}:6379"
ray_log="$PWD/$SLURM_JOB_NAME-$SLURM_JOB_ID.ray.log"
echo "head: $(hostname) ($address); Ray's output: $ray_log"

# Ray is a step of the job, and the grid is not. So a signal to this script reaches the grid only: its
# GANs need a running Ray to write their checkpoints. When this script ends, Slurm sends SIGTERM to the
# step. The shell of the step traps it, waits for the end of Ray, and cleans up. srun does not take
# --cpus-per-task from sbatch (from Slurm 22.05 on).
rm -f "$LUSSWEEP_RAY_IS_UP"
# shellcheck disable=SC2016
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
  --cpus-per-task="$SLURM_CPUS_PER_TASK" --output="$ray_log" --open-mode=append \
  bash -c 'trap : TERM; "$@"; ray stop; rm -rf "$RAY_TMPDIR" "$LUSSWEEP_RAY_IS_UP"' node \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
  --dashboard-host=127.0.0.1 -- \
  bash -c 'touch "$LUSSWEEP_RAY_IS_UP" && exec sleep infinity' &>> "$ray_log" &
until [[ -e $LUSSWEEP_RAY_IS_UP ]]; do
  kill -0 "$!" 2> /dev/null || {
    echo "error: Ray did not start on all nodes; see $ray_log" >&2
    exit 1
  }
  sleep 1
done
exec lussweep grid --address "$address" "$@"
