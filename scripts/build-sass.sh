#!/usr/bin/env bash
# Compiles workloads/kernels/*.cu with the compiler that NVIDIA publishes as Python wheels, and writes to
# workloads/kernels/sass/ for each kernel and architecture:
#   <kernel>.<arch>.sass   the listing, `cuobjdump -sass` with encodings (<kernel>.<arch>.sass.zst when large)
#   <kernel>.<arch>.toml   what the listing does not say, from the cubin: registers, shared memory, parameters, …
# and OPCODES.md, the opcodes that the listings use. All of it is committed: running and testing need no CUDA.
#
# Usage: scripts/build-sass.sh [KERNEL…]        default: all
# A kernel that needs newer hardware names its architectures in a line of its source, `// Architectures: sm_80 sm_90a`;
# without one it is compiled for the default ones. The environment variable ARCHITECTURES overrides both.
# Needs: bash, Python 3 with pip, a host C++ compiler, zstd, Rust. No GPU. The wheels go to target/cuda/.

set -euo pipefail
export LC_ALL=C PIP_ROOT_USER_ACTION=ignore
cd "$(dirname "$0")/.."

DEFAULT_ARCHITECTURES="sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_120"
FLAGS="-O3 -std=c++17"
LARGE_BYTES=200000

WHEELS=(
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    nvidia-cuda-cuobjdump==13.2.86 nvidia-cuda-nvdisasm==13.2.86
)

site=$PWD/target/cuda/site
cuda=$site/nvidia/cu13
cubins=$PWD/target/cuda/cubin
out=workloads/kernels/sass

# The stamp is written last, so that an interrupted installation is repeated.
stamp=$site/wheels
if [[ ! -e $stamp || $(<"$stamp") != "${WHEELS[*]}" ]]; then
    rm -rf "$site"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$site" "${WHEELS[@]}"
    echo "${WHEELS[*]}" >"$stamp"
fi
export PATH=$cuda/bin:$PATH

kernels=("$@")
if [[ ${#kernels[@]} -eq 0 ]]; then
    for source in workloads/kernels/*.cu; do
        kernels+=("$(basename "$source" .cu)")
    done
fi

architectures_of() {
    local named
    named=$(sed -n 's|^// Architectures: *||p' "workloads/kernels/$1.cu")
    echo "${ARCHITECTURES:-${named:-$DEFAULT_ARCHITECTURES}}"
}

mkdir -p "$cubins" "$out"
for kernel in "${kernels[@]}"; do
    for arch in $(architectures_of "$kernel"); do
        cubin=$cubins/$kernel.$arch.cubin
        listing=$out/$kernel.$arch.sass
        # shellcheck disable=SC2086  # FLAGS is a list
        nvcc $FLAGS -arch="$arch" -cubin -o "$cubin" "workloads/kernels/$kernel.cu"
        rm -f "$listing" "$listing.zst"
        cuobjdump -sass "$cubin" >"$listing"
        if (($(stat -c %s "$listing") > LARGE_BYTES)); then
            zstd --quiet -19 --rm "$listing"
        fi
        cargo xtask kernel-metadata "$cubin" --out "$out" --sources workloads/kernels --flags "$FLAGS -arch=$arch"
        echo "$kernel $arch"
    done
done

# OPCODES.md: every opcode with its modifiers, and how often the listings of each architecture hold it.
{
    echo "# Opcodes of the shipped listings"
    echo
    echo "Written by \`scripts/build-sass.sh\`: each opcode with its modifiers, and how many instructions of the listings use it."
    echo
    for file in "$out"/*.sass "$out"/*.sass.zst; do
        [[ -e $file ]] || continue
        arch=$(basename "${file%.zst}" .sass)
        case $file in *.zst) zstd -dcq "$file" ;; *) cat "$file" ;; esac | sed "s/^/${arch##*.} /"
    done | awk '
        $2 ~ /^\/\*[0-9a-f]+\*\/$/ {
            opcode = $3 ~ /^@/ ? $4 : $3
            sub(/;$/, "", opcode)
            if (!(opcode in seen)) { seen[opcode]; opcodes[++opcode_count] = opcode }
            if (!($1 in total)) arches[++arch_count] = $1
            ++total[$1]
            ++uses[opcode, $1]
        }
        function sort(list, count,    i, j, t) {
            for (i = 2; i <= count; ++i)
                for (j = i; j > 1 && list[j - 1] > list[j]; --j) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
        }
        END {
            sort(arches, arch_count)
            sort(opcodes, opcode_count)
            head = "| opcode |"; rule = "|---|"; sum = "| all |"
            for (i = 1; i <= arch_count; ++i) {
                head = head " " arches[i] " |"; rule = rule "---:|"; sum = sum " " total[arches[i]] " |"
            }
            print head "\n" rule
            for (o = 1; o <= opcode_count; ++o) {
                row = "| `" opcodes[o] "` |"
                for (i = 1; i <= arch_count; ++i) row = row " " (uses[opcodes[o], arches[i]] + 0) " |"
                print row
            }
            print sum
        }'
} >"$out/OPCODES.md"
