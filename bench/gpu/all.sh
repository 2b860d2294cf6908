#!/usr/bin/env bash
# Everything that is measured on a GPU, in one go: what the adapter offers, correctness, attention, the whole model, memory, and the
# same of PyTorch and transformers beside it.
#   bash bench/gpu/all.sh FOLDER [PART …]     parts of main.ts; all of them, and the peers, by default
# Rows go to FOLDER/gpu.jsonl and FOLDER/gpu-peers.jsonl as they come; docs/benchmarks.md is made from those in bench/results/:
# npx tsx tools/benchmarks-doc.ts. Where there is neither Node nor a network, pack.sh on another machine comes first (README.md).
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -lt 1 ]; then
  echo "all.sh: expected a folder for the rows; for example: bash bench/gpu/all.sh bench/results" >&2
  exit 2
fi
folder=$1
shift
mkdir -p "$folder"

if [ -d .gpu ] && ! [ -d node_modules ]; then
  source bench/gpu/setup.sh
  program() { node ".gpu/$1.mjs" "${@:2}"; }
else
  npm run --silent build:kernels
  program() { npx --no-install tsx "bench/gpu/$1.ts" "${@:2}"; }
fi

section() { printf '\n=== %s (%ss)\n' "$1" "$SECONDS" >&2; }
# Keeps a new file aside until it is whole enough to take the place of the old one.
begin() { : >"$folder/$1.part"; }
finish() { mv "$folder/$1.part" "$folder/$1"; }

section "adapter"
begin gpu-peers.jsonl
program probe | tee -a "$folder/gpu-peers.jsonl.part"

section "ours: ${*:-all parts}"
begin gpu.jsonl
program main --out "$folder/gpu.jsonl.part" "$@"
finish gpu.jsonl

if [ $# -gt 0 ]; then
  echo "peers are measured with all parts only" >&2
  rm "$folder/gpu-peers.jsonl.part"
elif python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
  section "peers: PyTorch's attention"
  python3 bench/gpu/sdpa.py | tee -a "$folder/gpu-peers.jsonl.part"
  section "peers: PyTorch's matrix products"
  python3 bench/gpu/matmul.py | tee -a "$folder/gpu-peers.jsonl.part"
  section "peers: PyTorch's attention of prompts"
  python3 bench/gpu/sdpa_prefill.py | tee -a "$folder/gpu-peers.jsonl.part"
  section "peers: transformers"
  python3 bench/gpu/hf_decode.py | tee -a "$folder/gpu-peers.jsonl.part"
  finish gpu-peers.jsonl
else
  echo "no peers: python3 with torch, transformers and a CUDA device is needed; rows of before are kept" >&2
  rm "$folder/gpu-peers.jsonl.part"
fi
section "done"
