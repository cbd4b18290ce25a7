# The command cascade-rpn in an image, for CPUs:
#
#   docker build -t cascade-rpn .
#   docker run --rm --user "$(id -u):$(id -g)" -e HOME=/tmp -v "$PWD:/data" cascade-rpn \
#       predict --config-file demo/cascade_rpn.py --input photos/ --output drawn/
#
# What a command reads and writes is in the folder mounted at /data. To train, add --ipc=host: the
# workers of the data loader share memory.
#
# For GPUs, build from a CUDA image with a compiler (-devel) of the CUDA version that torch in
# requirements.txt is built with, and run with --gpus all. On Ubuntu's, add python3-dev and
# python3-venv to the packages below; all else is the same:
#
#   docker build -t cascade-rpn --build-arg BASE=nvidia/cuda:<version>-devel-ubuntu24.04 .
ARG BASE=python:3.13-slim
FROM ${BASE}

# A C++ compiler for the kernels, and git to fetch Detectron2.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ git make \
    && rm -rf /var/lib/apt/lists/*

# The environment .venv: the pinned packages, Detectron2 from GitHub or else from the package index,
# and this package, with a failing compiler as an error.
COPY . /opt/cascade_rpn_d2
WORKDIR /opt/cascade_rpn_d2
ENV PIP_NO_CACHE_DIR=1 CASCADE_RPN_COMPILE=1
RUN make install

WORKDIR /data
ENTRYPOINT ["/opt/cascade_rpn_d2/.venv/bin/cascade-rpn"]
CMD ["--help"]
