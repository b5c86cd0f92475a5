#!/usr/bin/env bash
# A sweep or a run on the machines of a Slurm allocation: Ray's head on the first of them, workers on the others.
#
#   sbatch cluster/slurm.sh python sweeps/stl10_pruning.py --name mine --gpus-per-trial 1 --storage-path /shared/sweeps
#   sbatch --nodes=4 cluster/slurm.sh python -m bdw fit --num-workers 4 --gpus-per-worker 1 --run-dir /shared/runs/mine --resume
#
# Submit it in the repository's root, which all machines must see, with its .venv (make setup). What the command writes must
# lie in a folder that all machines see, too, or at s3://. Two minutes before its time is up the command is asked to save,
# and the job is put into the queue again; the same command goes on where it was. docs/cluster-launchers.md says more.
#
# Options of `sbatch` win over these lines.
#SBATCH --job-name=bdw
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=bdw-%j.log
set -euo pipefail
[[ $# -gt 0 ]] || { echo "usage: sbatch cluster/slurm.sh COMMAND..." >&2; exit 2; }
[[ -n ${SLURM_JOB_ID:-} ]] || { echo "start it with sbatch: SLURM_JOB_ID is not set" >&2; exit 2; }
cd "${SLURM_SUBMIT_DIR:-.}"
[[ -x .venv/bin/python ]] && export PATH="$PWD/.venv/bin:$PATH"

cpus=${SLURM_CPUS_PER_TASK:-1} gpus=${SLURM_GPUS_ON_NODE:-0}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
others=$(IFS=,; echo "${nodes[*]:1}")
# A step on some machines; several share them, hence --overlap.
step() { srun --overlap --ntasks-per-node=1 --cpus-per-task="$cpus" "$@"; }
on_all() { step --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" "$@"; }

if ((gpus > 0)) && ! on_all python -m bdw doctor --gpu; then
  echo "a machine's GPU cannot be used; what is wrong stands above" >&2
  exit 1
fi

# The head's address as the last machine sees it: its own /etc/hosts may name the loopback.
address=$(step --nodes=1 --ntasks=1 --nodelist="${nodes[-1]}" getent ahostsv4 "${nodes[0]}" | awk 'NR == 1 {print $1}' || true)
[[ -n $address && $address != 127.* ]] || address=$(hostname -I | awk '{print $1}')
# Ports and a folder of this job's own: other jobs may run on the same machines. Whoever lacks the token is turned away.
port=$((20000 + SLURM_JOB_ID % 1000 * 10)) folder=/tmp/bdw-$SLURM_JOB_ID
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_ADDRESS=$address:$port
common=(--block --num-cpus="$cpus" --num-gpus="$gpus" --min-worker-port=0 --max-worker-port=0 --disable-usage-stats)

driver=
# shellcheck disable=SC2329  # The trap calls it.
clean_up() {
  local started
  mapfile -t started <<< "$(jobs -p)"
  kill -TERM "${started[@]}" 2> /dev/null || true
  wait || true
  on_all rm -rf "$folder" || true
}
trap clean_up EXIT
is_up=false
trap 'is_up=true; [[ -z $driver ]] || kill -TERM "$driver"' USR1  # Time is nearly up.
trap '[[ -n $driver ]] && kill -TERM "$driver" || exit 143' TERM   # scancel

env -u RAY_ADDRESS srun --overlap --nodes=1 --ntasks=1 --cpus-per-task="$cpus" --nodelist="${nodes[0]}" \
  ray start --head --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)) \
  --ray-client-server-port=$((port + 2)) --dashboard-agent-listen-port=$((port + 3)) --temp-dir="$folder" \
  --resources='{"trial_driver": 64}' "${common[@]}" > "bdw-$SLURM_JOB_ID-ray.log" 2>&1 &
if [[ -n $others ]]; then
  until (exec 3<> "/dev/tcp/$address/$port") 2> /dev/null; do
    kill -0 $! 2> /dev/null || { echo "Ray's head did not start; see bdw-$SLURM_JOB_ID-ray.log" >&2; exit 1; }
    sleep 1
  done
  env -u RAY_ADDRESS srun --overlap --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --ntasks-per-node=1 \
    --cpus-per-task="$cpus" --nodelist="$others" ray start --address="$RAY_ADDRESS" \
    --dashboard-agent-listen-port=$((port + 4)) "${common[@]}" >> "bdw-$SLURM_JOB_ID-ray.log" 2>&1 &
fi
python -m sweeps.jobs.wait_for_machines "${#nodes[@]}"

"$@" &
driver=$!
until ! kill -0 "$driver" 2> /dev/null; do  # A signal ends `wait` before the command has ended.
  wait "$driver" || true
done
status=0
wait "$driver" || status=$?  # The shell remembers it.
driver=
if $is_up && ((status != 0)); then
  echo "time is up (status $status): back into the queue, where the same command goes on" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
