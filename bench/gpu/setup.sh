# Makes what pack.sh packed usable: `source bench/gpu/setup.sh` in the repository's root, in bash, as root where the
# Vulkan loader is missing. Quick the second time.

_gpu_unpack() ( # a subshell: `set -e` and the working directory stay out of the caller's shell
  set -euo pipefail
  mkdir -p /tmp/gpu/bin /tmp/gpu/run
  chmod 700 /tmp/gpu/run
  unxz_to() { # skips what is unpacked already; xz may be absent where Python is not
    local sum
    sum=$(cksum <"$1")
    [ -f "$2" ] && [ "$(cat "$2.sum")" = "$sum" ] && return
    { xz -dc "$1" 2>/dev/null || python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"; } >"$2.part"
    chmod +x "$2.part"
    mv "$2.part" "$2"
    echo "$sum" >"$2.sum"
  }
  unxz_to .gpu/node.xz /tmp/gpu/bin/node &
  unxz_to .gpu/dawn.node.xz /tmp/gpu/dawn.node
  wait $!
  libraries=$(ldconfig -p)
  if [[ $libraries != *libvulkan.so.1* || $libraries != *libEGL.so.1* ]]; then
    for deb in .gpu/*.deb; do dpkg -x "$deb" /; done
    ldconfig
  fi
)

if _gpu_unpack; then
  export PATH=/tmp/gpu/bin:$PATH DAWN_NODE=/tmp/gpu/dawn.node XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp/gpu/run}
  # Drivers that a container mounts keep their manifests where the loaders do not look.
  if [ -z "${VK_DRIVER_FILES:-}" ] && ! compgen -G '/usr/share/vulkan/icd.d/nvidia*.json' >/dev/null && ! compgen -G '/etc/vulkan/icd.d/nvidia*.json' >/dev/null; then
    for _gpu_manifest in /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json; do
      [ -f "$_gpu_manifest" ] && export VK_DRIVER_FILES=$_gpu_manifest
    done
    for _gpu_manifest in /usr/local/nvidia/share/glvnd/egl_vendor.d/10_nvidia.json; do
      [ -f "$_gpu_manifest" ] && export __EGL_VENDOR_LIBRARY_FILENAMES=$_gpu_manifest
    done
    unset _gpu_manifest
  fi
else
  echo "setup.sh: could not unpack .gpu/; run \`bash bench/gpu/pack.sh\` where there is a network, and bring the folder here" >&2
fi
unset -f _gpu_unpack
