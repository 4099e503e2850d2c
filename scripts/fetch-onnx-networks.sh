#!/bin/sh
# Puts nine real networks into a folder: AlexNet, DenseNet-121, Inception v1 and v2, ResNet-50, ShuffleNet, SqueezeNet,
# VGG-19, ZFNet-512. They are the models of light graphs inside the package `onnx` (Apache-2.0): their topology and shapes
# are real, their weights constants, 4 to 214 KB each.
#
#   scripts/fetch-onnx-networks.sh [FOLDER]        default: out/onnx
#   orrery run npu-4 out/onnx/resnet50.onnx
set -eu

version=1.23.2
folder=${1:-out/onnx}
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "onnx==$version"
python3 - "$work" "$folder" <<'PYTHON'
import pathlib, re, sys, zipfile

work, folder = map(pathlib.Path, sys.argv[1:])
(wheel,) = work.glob("onnx-*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        found = re.fullmatch(r"onnx/backend/test/data/light/light_(?:bvlc_)?(\w+)\.onnx", name)
        if found:
            (folder / f"{found[1]}.onnx").write_bytes(archive.read(name))
            print(folder / f"{found[1]}.onnx")
PYTHON
