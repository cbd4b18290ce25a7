#!/usr/bin/env bash
# Sets up everything this project needs; called by `make install`.
#   install.sh ""       makes .venv and installs the pinned set, detectron2 and this package into it
#   install.sh PYTHON   installs this package and its tests' needs into an interpreter that already
#                       holds torch and detectron2, and leaves those two as they are
# DETECTRON2 says where detectron2 comes from, and CASCADE_RPN_COMPILE=1 that the kernels must compile;
# see cascade_rpn_lite/detectron2_source.py and setup.py.
set -euo pipefail
cd "$(dirname "$0")/.."

# A folder of that name here, such as a clone, is none.
has_detectron2() { "$python" -c "import detectron2; raise SystemExit(detectron2.__file__ is None)" 2>/dev/null; }

fail() { echo "install: $*" >&2; exit 1; }

# Beside the sources, so that a checkout runs in place.
install_this_package() {
    echo "install: this package and its kernels"
    "$python" -m pip install --quiet --no-build-isolation --no-deps --editable . \
        || fail "the package did not build (see above)."
    "$python" -W ignore -c "
from cascade_rpn_d2.layers import _library
raise SystemExit(not _library.is_compiled())" \
        || echo "install: the kernels did not compile, so the operators run on slower pure torch" \
            "(CASCADE_RPN_COMPILE=1 makes that an error and shows the compiler's)"
}

if [ -z "${1:-}" ]; then
    python=.venv/bin/python
    chosen=
    if ! [ -x "$python" ]; then
        python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" \
            || fail "the pinned packages need Python 3.11 or later: put one first in PATH, or set PYTHON= to an environment of your own."
        # Chosen before gigabytes are downloaded: what was asked for may not be there.
        chosen=$(python3 -m cascade_rpn_lite install-detectron2 --dry-run) || exit 1
        python3 -m venv .venv \
            || fail "python3 cannot make a virtual environment: install it with apt-get install python3-venv."
    elif ! has_detectron2; then
        chosen=$("$python" -m cascade_rpn_lite install-detectron2 --dry-run) || exit 1
    fi
    echo "install: the pinned packages of requirements.txt (torch is large)"
    "$python" -m pip install --quiet --requirement requirements.txt \
        || fail "the pinned packages could not be installed (see above)."
    [ -z "$chosen" ] || "$python" -m cascade_rpn_lite install-detectron2 --chosen "$chosen"
else
    python=$1
    "$python" -c "import torch" 2>/dev/null \
        || fail "$python has no torch: install it there, or leave PYTHON= empty."
    "$python" -c "import torch; assert tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 9)" 2>/dev/null \
        || fail "$python has a torch older than 2.9: update it, or leave PYTHON= empty."
    has_detectron2 \
        || fail "$python has no detectron2: run $python -m cascade_rpn_lite install-detectron2, or leave PYTHON= empty."
    opencv=opencv-python-headless
    "$python" -c "import cv2" 2>/dev/null && opencv=  # whichever of its packages it came in
    "$python" -m pip install --quiet --upgrade-strategy only-if-needed \
        "setuptools>=77" wheel ninja pytest hypothesis ruff mypy tensorboard $opencv \
        || fail "what the tests need could not be installed into $python (see above)."
fi
install_this_package
