#!/usr/bin/env bash
# Runs the tests of the kernels with the C++ code compiled under AddressSanitizer and
# UndefinedBehaviorSanitizer: a read or write out of bounds, or a float-to-int cast out of range,
# ends the run. The build and its copy of the package live in a temporary folder.
#
# Usage: tests/run_asan.sh [python]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(command -v "${1:-python}") || { echo "run_asan.sh: no interpreter ${1:-python}." >&2; exit 1; }
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
compiler=${CXX:-g++}
asan=$("$compiler" -print-file-name=libasan.so)
stdcxx=$("$compiler" -print-file-name=libstdc++.so)
if [[ $asan != /* ]]; then
  echo "run_asan.sh: $compiler has no libasan.so; install GCC's sanitizer library or set CXX." >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -cf - --exclude='*.so' --exclude=__pycache__ \
  setup.py pyproject.toml README.md configs cascade_rpn_d2 cascade_rpn_lite tests | tar -xf - -C "$work"
cd "$work"

sanitizers="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize=vptr"
echo "Building with $sanitizers ..."
if ! CASCADE_RPN_COMPILE=1 FORCE_CUDA=0 CFLAGS="$sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer -g" \
    LDFLAGS="$sanitizers" "$python" setup.py -q build_ext --inplace >build.log 2>&1; then
  cat build.log >&2
  exit 1
fi

# The sanitizer's runtime comes first in the process, and libstdc++ with it so that it sees exceptions.
# Leaks are not looked for: an interpreter keeps much until it exits.
export LD_PRELOAD="$asan $stdcxx" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
"$python" - <<'CHECK'
import os
import cascade_rpn_d2
from cascade_rpn_d2.layers import _library
assert cascade_rpn_d2.__file__.startswith(os.getcwd()), cascade_rpn_d2.__file__
assert _library.is_compiled(), _library._why_not_loaded
CHECK
# -s: an aborted process would take its captured report with it.
"$python" -m pytest -q -s -m "not slow" -p no:cacheprovider tests/layers/test_adaptive_conv.py \
  tests/layers/test_adaptive_conv_operator.py \
  tests/layers/test_deform_conv.py \
  tests/layers/test_mask.py \
  tests/layers/test_nms.py \
  tests/layers/test_soft_nms.py
echo "No error under AddressSanitizer and UndefinedBehaviorSanitizer."
