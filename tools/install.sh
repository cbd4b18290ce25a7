#!/usr/bin/env bash
# Sets up everything this project needs; called by `make install`.
#   install.sh ""       makes .venv and installs the pinned set, detectron2 and this package into it
#   install.sh PYTHON   installs this package and its tests' needs into an interpreter that already
#                       holds torch and detectron2, and leaves those two as they are
# DETECTRON2 says where detectron2 comes from, instead of the commit that setup.py names.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${DETECTRON2:=$(grep -o 'git+https://[^"]*' setup.py)}"

fail() { echo "install: $*" >&2; exit 1; }

# Ends at once, before gigabytes are downloaded, when detectron2 cannot be had.
check_detectron2() {
    local source=$DETECTRON2 address
    local advice="set DETECTRON2= to a local clone, a wheel or a mirror of it, such as make install DETECTRON2=/path/to/detectron2"
    case "$source" in
        git+*)
            command -v git >/dev/null || fail "git is needed to fetch detectron2: install it, or $advice."
            address=$(sed -E 's/^git\+//; s/#.*$//; s/@[^@/]*$//' <<<"$source")  # no commit, no fragment
            GIT_TERMINAL_PROMPT=0 timeout 60 git ls-remote --quiet "$address" HEAD >/dev/null 2>&1 \
                || fail "detectron2 cannot be reached at $address: $advice." ;;
        http://* | https://*) ;;
        *)
            [ -e "$source" ] || fail "there is no detectron2 at $source: $advice."
            DETECTRON2=$(realpath "$source") ;;  # or pip would take a bare name for a package
    esac
}

install_detectron2() {
    "$python" -c "import detectron2" 2>/dev/null && return
    echo "install: building detectron2 (about 2 minutes)"
    "$python" -m pip install --quiet --no-build-isolation "$DETECTRON2" \
        || fail "detectron2 did not build from $DETECTRON2 (see above): set DETECTRON2= to another source of it."
}

# The compiled kernels go beside the sources, so that a checkout runs in place.
install_this_package() {
    echo "install: building the kernels"
    "$python" -m pip install --quiet --no-build-isolation --no-deps --editable . \
        || fail "the package did not build (see above): a C++ compiler is needed, such as g++."
}

if [ -z "${1:-}" ]; then
    python=.venv/bin/python
    if ! [ -x "$python" ] || ! "$python" -c "import detectron2" 2>/dev/null; then
        check_detectron2
    fi
    [ -x "$python" ] || python3 -c "import sys; sys.exit(sys.version_info < (3, 11))" \
        || fail "the pinned packages need Python 3.11 or later: put one first in PATH, or set PYTHON= to an environment of your own."
    [ -x "$python" ] || python3 -m venv .venv \
        || fail "python3 cannot make a virtual environment: install it with apt-get install python3-venv."
    echo "install: the pinned packages of requirements.txt (torch is large)"
    "$python" -m pip install --quiet --requirement requirements.txt \
        || fail "the pinned packages could not be installed (see above)."
    install_detectron2
else
    python=$1
    "$python" -c "import torch, detectron2" 2>/dev/null \
        || fail "$python has no torch or no detectron2: install both there, or leave PYTHON= empty."
    "$python" -c "import torch; assert tuple(map(int, torch.__version__.split('.')[:2])) >= (2, 9)" 2>/dev/null \
        || fail "$python has a torch older than 2.9: update it, or leave PYTHON= empty."
    opencv=opencv-python-headless
    "$python" -c "import cv2" 2>/dev/null && opencv=  # whichever of its packages it came in
    "$python" -m pip install --quiet --upgrade-strategy only-if-needed \
        setuptools wheel ninja pytest hypothesis ruff mypy tensorboard $opencv \
        || fail "what the tests need could not be installed into $python (see above)."
fi
install_this_package
