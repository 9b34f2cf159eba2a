#!/usr/bin/env bash
# lussweep on Slurm: one job is one Ray cluster, and ends with it (`ray symmetric-run`, Ray 2.49 on).
#
# Fill in: the #SBATCH lines below, for your cluster's nodes, time limit, partition and account.
#
# Once, on the login node, in your home if the compute nodes share it (else set LUSSWEEP_VENV):
#   pip install uv && uv venv --python 3.11.13 ~/lussweep-venv
#   uv pip install --python ~/lussweep-venv/bin/python \
#     "ray[default,tune,train]==2.60.0" "torch==2.13.0" --editable CHECKOUT
#
# Use, with the arguments of `lussweep grid`; --out and --store in a folder that all nodes share:
#   sbatch experiments/clusters/slurm.sh EXPERIMENT --data /shared/store --out /shared/runs/NAME
#   tail -f lussweep-JOBID.log
#   ssh -L 8265:localhost:8265 FIRST_NODE     # the dashboard; `ray get-auth-token` shows its token
# After the time limit or a lost node the same line goes on where the job ended.
#
# Stop: `scancel JOBID`. The job is charged until then, until the run is done, or until --time.
#
#SBATCH --job-name=lussweep
#SBATCH --output=%x-%j.log
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=2
#SBATCH --time=24:00:00
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
# Nodes of a busy cluster take longer to import Ray from a shared disk than Ray's 30 s.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
# /tmp/ray may belong to another user. Short, because the path of a socket has at most 107 letters.
export RAY_TMPDIR="/tmp/ray-$SLURM_JOB_ID"

# The first node is the head: by address, because its name may be 127.0.1.1 to itself.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
addresses=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses)
address="${addresses%% *}:6379"
echo "head: $head ($address)"

# symmetric-run ends with 0 also where Ray did not start, so the command itself says how it ended.
export LUSSWEEP_STATUS="${SLURM_SUBMIT_DIR:-$PWD}/.lussweep-$SLURM_JOB_ID.status"
trap 'rm -f "$LUSSWEEP_STATUS"' EXIT
# srun does not take --cpus-per-task over from sbatch (Slurm 22.05 on).
# shellcheck disable=SC2016
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
  --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
  --dashboard-host=127.0.0.1 -- \
  bash -c 'lussweep grid --address auto "$@"; echo "$?" > "$LUSSWEEP_STATUS"' lussweep "$@" ||
  true
[[ -s $LUSSWEEP_STATUS ]] || {
  echo "error: Ray did not start on all nodes; see above" >&2
  exit 1
}
exit "$(cat "$LUSSWEEP_STATUS")"
