#!/usr/bin/env bash
# Records recall by length and depth of the package's own model, as it was trained and stretched by YaRN:
#   bash bench/record-far.sh TEXT
# Some twenty minutes of one core, of which 32,768 tokens take half; a cell has few prompts, and the rows say how many.
# Then: npx tsx tools/benchmarks-doc.ts
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: bash bench/record-far.sh TEXT" >&2; exit 2; }
out=bench/results/far.jsonl
npm run --silent build
rm -f "$out"
far() {
  node dist/cli/main.js eval -m qwen3-3m -t 1 --text "$@" --ctx 256 --chunks 1 --kv k4v4 --kv k3v3 --kv k2v2 --out "$out"
}
depths=(--needle-depths 0,50,100)
far "$1" "${depths[@]}" --needle-lengths 1024,2048,4096 --needle-prompts 2
stretched() { # TEXT FACTOR …
  far "$1" --rope-scaling yarn --rope-scale "$2" "${@:3}"
}
stretched "$1" 4 "${depths[@]}" --needle-lengths 1024,2048,4096 --needle-prompts 2
stretched "$1" 8 "${depths[@]}" --needle-lengths 8192 --needle-prompts 1
stretched "$1" 16 "${depths[@]}" --needle-lengths 16384 --needle-prompts 1
stretched "$1" 32 --needle-depths 50 --needle-lengths 32768 --needle-prompts 1
