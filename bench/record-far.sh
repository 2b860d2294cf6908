#!/usr/bin/env bash
# Records recall by length and depth of the package's own model, as it was trained and stretched by YaRN:
#   bash bench/record-far.sh TEXT
# Five minutes of one core. Every run ends in the time it is given, so a cell has as many prompts as that allowed; the rows
# say how many. Not recorded, as it takes far longer, are 16,384 tokens: --needle-lengths 16384; and 32,768: --rope-scale 8 and --needle-lengths 32768, without --time.
# Then: npx tsx tools/benchmarks-doc.ts
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo "usage: bash bench/record-far.sh TEXT" >&2; exit 2; }
out=bench/results/far.jsonl
npm run --silent build
rm -f "$out"
far() {
  node dist/cli/main.js eval -m qwen3-3m -t 1 --text "$@" --ctx 256 --chunks 1 --needle-depths 0,50,100 \
    --kv k4v4 --kv k3v3 --kv k2v2 --out "$out"
}
far "$1" --needle-lengths 1024,4096 --needle-prompts 4 --time 100s
far "$1" --needle-lengths 2048 --needle-prompts 4 --time 40s
yarn=(--rope-scaling yarn --rope-scale 4)
far "$1" "${yarn[@]}" --needle-lengths 1024,2048 --needle-prompts 4 --time 70s
