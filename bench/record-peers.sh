#!/usr/bin/env bash
# Records speed beside llama.cpp and wllama on the same files, and writes docs/benchmarks.md. On a quiet machine with two cores, once the
# models are written (10 GB in bench/peers), some six minutes for Node and three for the page:
#   bash bench/record-peers.sh [GGUF]       GGUF: a model of yours, beside those that are written; the page runs it, or a written one
set -euo pipefail
cd "$(dirname "$0")/.."
results=bench/results
rows=$(mktemp -d)
trap 'rm -rf "$rows"' EXIT
speed() { npx tsx bench/peers/speed.ts "$@" -t 2 -o "$rows/peer-speed.jsonl"; }

for kind in q4_k_m q8_0; do
  speed --shape qwen3-0.6b --file-type "$kind" -d 0 -p 512 -n 32 --kv k4v4,f16 --peer-kv f16,q8_0 -r 3
  # Filling a cache takes most of the time: at depth the peer's best cache is the smaller one.
  speed --shape qwen3-0.6b --file-type "$kind" -d 4096 -p 0 -n 16 --kv k4v4 --peer-kv q8_0 -r 3
done
[ -z "${1:-}" ] || speed "$1" -d 0,4096 -p 512 -n 32 --kv k4v4 --peer-kv f16,q8_0 -r 3
speed --shape qwen3-8b --file-type q4_k_m -d 0 -p 0 -n 8 --kv k4v4 --peer-kv f16 -r 2

npx tsx bench/peers/browser.ts ${1:+"$1"} -d 0,2048 -p 128 -n 32 --kv k4v4 --peer-kv f16 -t 2 -r 3 -o "$rows/peer-browser.jsonl"

mv "$rows"/peer-*.jsonl "$results"
npx tsx tools/benchmarks-doc.ts
