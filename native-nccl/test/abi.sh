#!/usr/bin/env bash
# Compares src/core/abi.h with NCCL's own header, and loads NCCL's own library through the addon, for several versions from
# PyPI. Needs a C++17 compiler, node, pip and some hundred MB for each version; no GPU.
#
#   native-nccl/test/abi.sh                                               # the versions below
#   native-nccl/test/abi.sh nvidia-nccl-cu12==2.20.5 folder-with-a-wheel-unpacked
set -euo pipefail
cd "$(dirname "$0")/.."
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(nvidia-nccl-cu12==2.18.3 nvidia-nccl-cu12==2.27.7 nvidia-nccl-cu13==2.28.9)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# nccl.h includes these for cudaStream_t, __half and __nv_bfloat16 alone.
mkdir -p "$work/cuda"
printf '#include <stddef.h>\ntypedef struct CUstream_st* cudaStream_t;\n' >"$work/cuda/cuda_runtime.h"
echo >"$work/cuda/cuda_fp16.h"
printf '#define __CUDA_BF16_TYPES_EXIST__ 1\n' >"$work/cuda/cuda_bf16.h"
echo >"$work/cuda/cuda_fp8.h"

node scripts/build.js >/dev/null
for version in "${versions[@]}"; do
  if [ -d "$version" ]; then
    folder=$version
  else
    folder=$work/${version//[=]/-}
    python3 -m pip download --quiet --no-deps --dest "$folder" "$version"
    python3 -m zipfile -e "$folder"/*.whl "$folder"
    rm "$folder"/*.whl
  fi
  number=$(sed -n 's/^#define NCCL_\(MAJOR\|MINOR\|PATCH\) \([0-9]*\)$/\2/p' "$folder/nvidia/nccl/include/nccl.h" | paste -sd.)
  ${CXX:-c++} -std=c++17 -fsyntax-only -D__CUDA_BF16_TYPES_EXIST__ -I"$work/cuda" -I"$folder/nvidia/nccl/include" test/abi-check.cc
  echo "nccl.h of $number: abi.h agrees"
  LD_LIBRARY_PATH=$folder/nvidia/nccl/lib node test/abi-real.mjs "$number"
done
echo "${#versions[@]} passed, 0 failed"
