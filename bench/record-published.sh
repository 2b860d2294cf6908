#!/usr/bin/env bash
# Records what cache formats cost a published model. Half an hour with two cores; other work beside it changes no figure:
#   GGUF=SmolLM2-135M-Instruct.Q4_1.gguf bash bench/record-published.sh TEXT
# The file gets a calibration beside it if it has none. Then: npx tsx tools/benchmarks-doc.ts
set -euo pipefail
cd "$(dirname "$0")/.."
out=bench/results/quality-published.jsonl
[ -n "${GGUF:-}" ] && [ $# -eq 1 ] || { echo "usage: GGUF=FILE bash bench/record-published.sh TEXT" >&2; exit 2; }
npm run --silent build
rm -f "$out"
[ -f "${GGUF%.gguf}.kv_calibration.safetensors" ] || node dist/cli/main.js calibrate -m "$GGUF"
quality() { node dist/cli/main.js eval -m "$GGUF" --text "$1" --out "$out" "${@:2}"; }

bare=(--kv paper-4 --kv paper-3 --kv q4_0r --kv k4v4,sinks=0,window=0 --kv k3v3,sinks=0,window=0 --kv kivi-4)
presets=(--kv k4v4 --kv k3v3 --kv k2v2)
# As `allocate` finds them: docs/benchmarks.md says with which options.
layers=(--kv k4v4,layers=3:k5v4+4:k5v4+8:k5v4+9:k5v4+23:k5v5 --kv k3v3,layers=3:k4v3+4:k4v3+8:k4v3+9:k4v3+23:k4v4
  --kv k2v2,layers=3:k3v3+4-5:k3v2+7:k3v2+8:k4v3+9:k4v2+10:k3v2+17-18:k3v2+20:k3v3+23:k4v3+24:k3v2)
quality "$1" --ctx 2048 --chunks 2 "${bare[@]}" "${presets[@]}"
quality "$1" --ctx 8192 --chunks 1 "${presets[@]}" "${layers[@]}"
