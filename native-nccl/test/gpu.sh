#!/usr/bin/env bash
# Tests and measures on a machine with CUDA devices and NCCL, which need have neither npm nor this repository.
#
# Here, once:      native-nccl/test/gpu.sh --pack FOLDER       everything in one folder, this machine's node included
# There:           FOLDER/gpu.sh [node] [result.json]          node: a Node 20 or later, by default the one in the folder; or a Deno
#
# libnccl.so.2 is looked for by the loader; name another folder in LD_LIBRARY_PATH or WEBCCL_LIBNCCL. The kernels of WebGPU are
# measured beside the device's own copies if it has a Vulkan driver too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" = --pack ]; then
  [ -n "${2:-}" ] || { echo "usage: gpu.sh --pack FOLDER" >&2; exit 2; }
  mkdir -p "$2"
  folder=$(cd "$2" && pwd)
  cd "$here/.."
  node scripts/build.js >/dev/null
  mkdir -p "$folder/native-nccl/build/release" "$folder/a/b/c"
  cp -r index.js lib package.json "$folder/native-nccl/"
  cp build/release/webccl_nccl.node "$folder/native-nccl/build/release/"
  cp test/gpu.sh test/gpu.mjs "$folder/"
  gzip -9 <"$(node -p process.execPath)" >"$folder/node.gz"
  # As deep as the programs' sources, whose relative imports of native-nccl and package.json are kept: hence a/b/c/.
  rm -f "$folder"/a/b/c/*
  node test/gpu-bundle.mjs "$folder/a/b/c"
  cp ../package.json "$folder/a/"
  webgpu=$(dirname "$(node -p 'require.resolve("webgpu")')")
  platform=$(node -p '`${process.platform}-${process.arch}`')
  mkdir -p "$folder/node_modules/webgpu/dist"
  cp "$webgpu/index.js" "$webgpu/package.json" "$folder/node_modules/webgpu/"
  cp -r "$webgpu/dist/$platform" "$folder/node_modules/webgpu/dist/"
  du -sh "$folder"
  exit
fi

node=${1:-$here/node}
if [ "$node" = "$here/node" ] && [ ! -x "$node" ]; then
  gunzip <"$node.gz" >"$node"
  chmod +x "$node"
fi
result=${2:-webccl-nccl-gpu.json}
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true; fi
run=()
case $("$node" --version) in deno*) run=(run --allow-all --no-config) ;; esac
export WEBCCL_NCCL_PACKAGE=$here/native-nccl/index.js
exec "$node" "${run[@]}" "$here/gpu.mjs" "$here/a/b/c/rank.mjs" "$here/a/b/c/webccl.mjs" "$result"
