#!/usr/bin/env bash
# Records loading beside reading, and resident memory beside the plan, and writes docs/benchmarks.md. Two minutes on a quiet machine:
#   bash bench/record-load.sh [GGUF]       GGUF: a model of yours, beside those that are written and deleted again
set -euo pipefail
cd "$(dirname "$0")/.."
npm run --silent build:kernels
rows=$(mktemp -d)
trap 'rm -rf "$rows"' EXIT
[ -z "${1:-}" ] || npx tsx src/cli/main.ts bench load -m "$1" --backend wasm -t 2 -r 5 --out "$rows/load.jsonl"
npx tsx bench/load.ts bf16,q8_0,q4_k_m -t 2 -r 5 --out "$rows/load.jsonl"
mv "$rows/load.jsonl" bench/results/load.jsonl
npx tsx tools/benchmarks-doc.ts
