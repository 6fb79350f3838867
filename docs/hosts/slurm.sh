#!/bin/bash
# sbatch slurm.sh: eight ranks on two hosts. srun starts each rank; webccl takes its number, their number and the first host's
# name from Slurm's variables, because RANK is not set.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
export WEBCCL_TOKEN=$(openssl rand -hex 32)
# Two jobs on one host need two ports.
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
srun bash -c 'OWN_ADDRESS=$SLURMD_NODENAME exec node several-hosts.js'
