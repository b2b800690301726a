#!/bin/bash
# Run a command beside a Slurm of its own on this machine, from Debian's packages:  with_slurm.sh COMMAND...
# All that Slurm writes lies in a temporary directory; its daemons run as this user and end with the command.
set -eu

export PATH="$PATH:/usr/sbin"
if ! type slurmctld slurmd munged sbatch > /dev/null 2>&1; then
  command -v apt-get > /dev/null || {
    echo "error: Slurm is missing and there is no apt-get to install it; expected Debian or Ubuntu, or slurmctld," \
      "slurmd, munged and sbatch in PATH" >&2
    exit 2
  }
  echo "installing slurm-wlm and munge" >&2
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends slurm-wlm munge > /dev/null
fi

directory=$(mktemp -d)
chmod 755 "$directory" # munged wants it readable
daemons=()
stop() {
  scancel --quiet --user="$(id -un)" 2> /dev/null || true
  for _ in $(seq 80); do # Slurm gives a task half a minute to end
    [ -z "$(squeue --noheader 2> /dev/null)" ] && break
    sleep 0.5
  done
  for daemon in "${daemons[@]}"; do # slurmd first: it wants to tell slurmctld
    kill "$daemon" 2> /dev/null || true
    for _ in $(seq 50); do
      kill -0 "$daemon" 2> /dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$daemon" 2> /dev/null || true
  done
  rm -rf "$directory"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$directory/state" "$directory/spool"
(umask 077 && head -c 1024 /dev/urandom > "$directory/munge.key")
host=$(hostname -s)
export SLURM_CONF="$directory/slurm.conf"
cat > "$SLURM_CONF" << END
ClusterName=test
SlurmctldHost=$host
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$directory/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE
END

# In sessions of their own, as Ctrl-C must not end them before their jobs.
setsid munged --foreground --force --socket="$directory/munge.socket" --key-file="$directory/munge.key" \
  --pid-file="$directory/munged.pid" --seed-file="$directory/munged.seed" > "$directory/munged.log" 2>&1 &
daemons=($! "${daemons[@]}")
for _ in $(seq 100); do
  [ -S "$directory/munge.socket" ] && break
  sleep 0.1
done
setsid slurmctld -D > "$directory/slurmctld.log" 2>&1 &
daemons=($! "${daemons[@]}")
setsid slurmd -D > "$directory/slurmd.log" 2>&1 &
daemons=($! "${daemons[@]}")
for _ in $(seq 60); do
  [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] && break
  sleep 0.5
done
if [ "$(sinfo --noheader --format=%T)" != idle ]; then
  echo "error: Slurm did not start" >&2
  tail -n 20 "$directory"/*.log >&2
  exit 1
fi
echo "$(sinfo --version): node $(sinfo --noheader --format='%N with %c cores is %T')"
"$@"
