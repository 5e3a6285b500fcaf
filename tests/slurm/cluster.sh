#!/usr/bin/env bash
# A Slurm cluster of two nodes on this machine: Debian's slurm-wlm and munge, two slurmd on two
# ports, GPUs that are device files and no more. To be sourced; as root.
#
#   prepare [PYTHON]        sets $top, $python, $work and $patience; at the end all is taken away again
#   cluster_start FOLDER    installs what is missing and starts the daemons, their files in FOLDER
#   cluster_stop            ends them, and takes the nodes' names out of /etc/hosts again
#   say, fail, until_true   what a test says; ends it; waits, for $patience seconds at most
#   state, is_state, ended, requeued, start_now    of a job, or of a task of an array: JOB_TASK

prepare() {
  top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  python=$(realpath -s "${1:-$top/.venv/bin/python}")
  patience=${PATIENCE:-600} # seconds until something that should happen counts as failed
  if [ "$(id -u)" != 0 ]; then
    echo "$0 needs root, to start Slurm" >&2
    exit 77
  fi
  work=$(mktemp -d)
  trap finish EXIT
  trap 'exit 143' TERM INT
}

finish() {
  local code=$?
  if [ "$code" != 0 ]; then
    tail -n 40 "$work"/*.log "$work"/slurm/*.log 2> /dev/null || true
  fi
  cluster_stop
  rm -rf "$work"
  exit "$code"
}

cluster_start() {
  cluster=$1
  mkdir -p "$cluster/state" "$cluster/spool"
  if ! command -v slurmd > /dev/null || ! command -v munged > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      slurm-wlm munge > /dev/null
  fi
  local host
  host=$(hostname -s)
  printf '127.0.0.1 n1 # fftdiff test\n127.0.0.1 n2 # fftdiff test\n' >> /etc/hosts

  for gpu in 0 1; do
    [ -e "$cluster/gpu$gpu" ] || mknod "$cluster/gpu$gpu" c 1 3
  done
  echo "NodeName=n[1-2] Name=gpu File=$cluster/gpu[0-1]" > "$cluster/gres.conf"
  cat > "$cluster/slurm.conf" << EOF
ClusterName=fftdiff
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
# A loaded machine answers late.
SlurmdTimeout=300
MessageTimeout=60
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=16 RealMemory=200000 Gres=gpu:2
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=16 RealMemory=200000 Gres=gpu:2
PartitionName=spgpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
EOF
  export SLURM_CONF=$cluster/slurm.conf

  if ! munge -n > /dev/null 2>&1; then
    [ -s /etc/munge/munge.key ] || mungekey --create
    mkdir -p /run/munge && chown munge: /run/munge
    runuser -u munge -- munged --pid-file=/run/munge/munged.pid
    cluster_munged=$(cat /run/munge/munged.pid)
  fi
  slurmctld -c -f "$SLURM_CONF"
  slurmd -N n1 -f "$SLURM_CONF"
  slurmd -N n2 -f "$SLURM_CONF"
  local i
  for i in $(seq 60); do
    [ "$(sinfo -h -t idle -o %D 2> /dev/null | tail -n 1)" = 2 ] && return 0
    sleep 1
  done
  echo "the nodes do not come up:" >&2
  sinfo >&2 || true
  tail -n 20 "$cluster"/*.log >&2
  return 1
}

cluster_stop() {
  local name pids=() i
  scancel -u root 2> /dev/null || true
  for i in $(seq 60); do # jobs first: a slurmd waits for its steps
    [ -n "$(squeue -h 2> /dev/null)" ] || break
    sleep 0.5
  done
  for name in n1 n2 slurmctld; do
    [ ! -s "$cluster/$name.pid" ] || pids+=("$(cat "$cluster/$name.pid")")
  done
  [ -z "${cluster_munged:-}" ] || pids+=("$cluster_munged")
  kill "${pids[@]}" 2> /dev/null || true
  for name in "${pids[@]}"; do
    for i in $(seq 40); do
      kill -0 "$name" 2> /dev/null || break
      sleep 0.25
    done
    kill -KILL "$name" 2> /dev/null || true
  done
  # Not by sed -i: where /etc/hosts is mounted into a container it cannot be replaced.
  grep -v '# fftdiff test$' /etc/hosts > "$cluster/hosts" || true
  cat "$cluster/hosts" > /etc/hosts
}

say() { echo "== $(date +%T) $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
until_true() { # SENTENCE COMMAND...: waits until the command succeeds
  local sentence=$1 started=$SECONDS
  shift
  until "$@"; do
    [ $((SECONDS - started)) -lt "$patience" ] || fail "waited $patience s: $sentence"
    sleep 0.5
  done
  say "$sentence"
}

state() { scontrol show job -o "$1" | sed 's/.*JobState=\([A-Z]*\).*/\1/'; }
is_state() { [ "$(state "$1")" = "$2" ]; }
ended() { ! squeue -h -j "$1" 2> /dev/null | grep -q .; }
requeued() { # JOB RESTARTS: it waits in the queue, or runs, for the Nth time again
  scontrol show job -o "$1" | grep -q "Restarts=$2 "
}
start_now() { # Slurm lets a requeued job wait for two minutes; a few seconds it needs
  sleep 5
  scontrol update JobId="$1" StartTime=now 2> /dev/null || true
  is_state "$1" RUNNING
}
