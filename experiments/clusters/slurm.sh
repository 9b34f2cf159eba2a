#!/usr/bin/env bash
# lussweep on Slurm: one job is one Ray cluster, and ends with it (`ray symmetric-run`, Ray 2.49 on).
#
# Fill in: the #SBATCH lines below, for your cluster's nodes, time limit, partition and account. On
# nodes without GPUs take the line --gpus-per-node out.
#
# Once, on the login node, in your home if the compute nodes share it (else set LUSSWEEP_VENV):
#   python3 -m venv ~/uv && ~/uv/bin/pip install uv
#   ~/uv/bin/uv venv --python 3.11.13 ~/lussweep-venv
#   ~/uv/bin/uv pip install --python ~/lussweep-venv/bin/python \
#     "ray[default,tune,train]==2.60.0" "torch==2.13.0" --editable CHECKOUT
#
# Use, with the arguments of `lussweep grid`; --out and --store in a folder that all nodes share:
#   sbatch experiments/clusters/slurm.sh EXPERIMENT --data /shared/store --out /shared/runs/NAME
#   tail -f lussweep-JOBID.log                # Ray's own words are in lussweep-JOBID.ray.log
#   ~/lussweep-venv/bin/lussweep status /shared/runs/NAME
#   ssh -L 8265:localhost:8265 FIRST_NODE     # the dashboard; `ray get-auth-token` shows its token
#
# Two minutes before the time limit the run stops in order, and the same sbatch line goes on where it
# ended. To have a long run go on by itself, submit the line several times at once, with
#   sbatch --dependency=singleton experiments/clusters/slurm.sh ...
# each job then waits for the one before; those that find the run finished end at once. A job that
# Slurm requeues (preemption, a lost node) goes on too.
#
# Stop in order: `lussweep cancel /shared/runs/NAME`, or `scancel --batch --signal=TERM JOBID`. Plain
# `scancel JOBID` ends Ray below the run: what is done stays, GANs lose what their last checkpoint
# does not have. The job is charged until it ends.
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
# Other users' processes on a node could reach Ray's ports, and their Ray would be in the way of ours.
#SBATCH --exclusive
set -euo pipefail

# shellcheck disable=SC1091
source "${LUSSWEEP_VENV:-$HOME/lussweep-venv}/bin/activate"

# Without the mode Ray would run open to everybody on the cluster's network. The token goes through
# the shared home, never through a command line or the job's environment, which others may read.
export RAY_AUTH_MODE=token
unset RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH RAY_ADDRESS
(umask 077 && ray get-auth-token --generate > /dev/null)
chmod 700 "$HOME/.ray"
chmod 600 "$HOME/.ray/auth_token"

# lussweep's settings, which only a local Ray gets from lussweep itself.
export RAY_preload_python_modules=torch
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
export RAY_TRAIN_ENABLE_PREEMPTION_WATCHER=0
export RAY_TRAIN_HEALTH_CHECK_INTERVAL_S=0.25
# What is printed lands in a file that stays: failed steps hash their patients, as in RUN/logs.
export LUSSWEEP_OUTPUT_IS_KEPT=1
# Nodes of a busy cluster take longer to import Ray from a shared disk than Ray's 30 s.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
# /tmp/ray may belong to another user. Short, because the path of a socket has at most 107 letters.
export RAY_TMPDIR="/tmp/ray-$SLURM_JOB_ID"
export LUSSWEEP_RAY_IS_UP="$RAY_TMPDIR.up"

# This script runs on the first node, which is the head: by address, because its name may be 127.0.1.1
# to itself.
addresses=$(hostname --all-ip-addresses)
address="${addresses%% *}:6379"
ray_log="$PWD/$SLURM_JOB_NAME-$SLURM_JOB_ID.ray.log"
echo "head: $(hostname) ($address); Ray's own words: $ray_log"

# Ray is a step of the job and the grid is not, so that a signal to this script reaches the grid alone:
# its GANs need a living Ray to leave their checkpoints. When this script ends, Slurm sends the step
# SIGTERM; a shell that traps it outlives Ray, and clears up after the last of its processes. srun does
# not take --cpus-per-task over from sbatch (Slurm 22.05 on).
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
