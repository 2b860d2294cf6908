#!/usr/bin/env bash
# Records the rows that docs/benchmarks.md is made from. Half an hour on a quiet machine with two cores:
#   bash bench/record.sh [TEXT [MODEL]]     TEXT: a plain text for `eval`; left out, the quality rows are kept as they are
#   GGUF=FILE bash bench/record.sh …        FILE: a model of yours for the peers, beside those that are written
# A published model has bench/record-published.sh.
# MODEL: the folder of a larger checkpoint, for which it needs half an hour more; it gets a calibration if it has none.
# Then: npx tsx tools/benchmarks-doc.ts
set -euo pipefail
cd "$(dirname "$0")/.."
results=bench/results
mkdir -p "$results"
npm run --silent build
tq() { node dist/cli/main.js "$@"; }
fresh() { rm -f "$results/$1.jsonl"; }

tq run --compare-f16 >"$results/start.txt" 2>&1

fresh attention
tq bench attention --shape qwen3-0.6b -d 1024,4096,16384 --kv f16,q8_0,k4v4,k8v4,k5v4,k3v3 -t 1,2 -r 9 --out "$results/attention.jsonl"
fresh memory
tq bench memory --shape qwen3-0.6b --out "$results/memory.jsonl"
fresh prefill
tq bench prefill --shape qwen3-0.6b --layers 4 --weights q8 -p 2048 -r 5 -t 2 --out "$results/prefill.jsonl"

# Whole decode, ours and llama.cpp's, one after the other twice, so that both meet the same machine.
fresh decode
fresh peers
for _ in 1 2; do
  tq bench --shape qwen3-0.6b --weights q8 -p 0 -n 16 -d 0,4096 --kv f16,k4v4 -t 2 -r 5 --out "$results/decode.jsonl"
  npx tsx bench/peers/llama-cpp.ts -d 0 --kv f16,q8_0,q4_0 -t 2 -n 16 -r 5 -o "$results/peers.jsonl"
  npx tsx bench/peers/llama-cpp.ts -d 4096 --kv f16,q8_0 -t 2 -n 16 -r 5 --limit 240 -o "$results/peers.jsonl"
done
fresh peers-layer
npx tsx bench/peers/llama-cpp.ts --layers 1 -d 0,4096 --kv f16,q8_0,q4_0 -t 1 -n 16 -r 9 --limit 120 -o "$results/peers-layer.jsonl"
npx tsx bench/peers/llama-cpp.ts --layers 1 -d 0,4096 --kv f16,q8_0,q4_0 -t 2 -n 16 -r 9 --limit 120 -o "$results/peers-layer.jsonl"

# The peers on the same files: logits, then speed in Node and in a page.
fresh peer-logits
npx tsx bench/peers/logits.ts ${GGUF:+"$GGUF"} --models all -o "$results/peer-logits.jsonl"
bash bench/record-peers.sh ${GGUF:+"$GGUF"}

bash bench/record-load.sh ${GGUF:+"$GGUF"}

# The server: six minutes and more.
fresh server
npx tsx bench/server/main.ts -t 2 --out "$results/server.jsonl"

if [ $# -gt 0 ]; then
  fresh quality
  tq eval --text "$1" --ctx 2048 --chunks 6 --needle 20 --kv k4v4 --kv k4v4,sinks=0,window=0 --kv k5v4,sinks=0,window=0 \
    --kv paper-4 --kv paper-4+qjl --kv q8_0 --kv q4_0r --kv k3v3,sinks=0,window=0 --kv k3v3 --kv k2v2 --kv kivi-4 \
    --kv k4v4,window=16bit --kv k3v3,window=16bit --kv k2v2,window=16bit --out "$results/quality.jsonl"
  fresh codes
  codes() { tq eval --text "$1" --ctx 2048 --chunks 3 --out "$results/codes.jsonl" "${@:2}"; }
  codes "$1" --kv paper-4 --kv paper-3 --kv paper-2 --kv k3v3,sinks=0,window=0 --kv q4_0r
  codes "$1" --ladder --kv k4v4,sinks=0,window=0
  codes "$1" --ladder --kv k2v2,sinks=0,window=0
  fresh window
  windows() {
    tq eval "$@" --ctx 2048 --chunks 6 --kv k4v4 --kv k4v4,window=64 --kv k4v4,window=32 --kv k4v4,window=16 --kv k4v4,window=16bit \
      --kv k4v4,window=16bit,window=64 --kv k4v4,window=16bit,window=32 --kv k4v4,window=16bit,window=16 --out "$results/window.jsonl"
  }
  windows --text "$1"
fi

if [ $# -gt 1 ]; then
  [ -f "$2/kv_calibration.safetensors" ] || tq calibrate --model "$2" --tokens 8192
  fresh quality-9m
  tq eval --model "$2" --text "$1" --ctx 2048 --chunks 6 --kv paper-4 --kv q4_0r --kv kivi-4 --kv k4v4,sinks=0,window=0 --kv paper-3 \
    --kv k3v3,sinks=0,window=0 --kv k4v4 --kv k3v3 --kv k2v2 \
    --kv k4v4,window=16bit --kv k3v3,window=16bit --kv k2v2,window=16bit --out "$results/quality-9m.jsonl"
  windows --model "$2" --text "$1"
  fresh recall-9m
  tq eval --model "$2" --text "$1" --ctx 256 --chunks 1 --needle 200 --kv k4v4 --kv k2v2 --out "$results/recall-9m.jsonl"
fi
