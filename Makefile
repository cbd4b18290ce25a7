# make demo   train RPN and Cascade RPN side by side on the embedded dataset (5 minutes on 2 cores)
# make test   the tests            make test-slow  the slow ones
# make lint   style and types      make asan      the kernels' tests under AddressSanitizer
# make install  what all of these need: into .venv, or into PYTHON=... that has torch and detectron2
#
# DETECTRON2=...  where to take detectron2 from instead of its commit on GitHub, or of the package index
#                 where GitHub is out of reach: an address that pip understands, a local clone, a
#                 wheel, or `index` for the package index
# CASCADE_RPN_COMPILE=1  the kernels must compile; otherwise the operators run on slower pure torch
#                 where the compiler fails

PYTHON ?=
export DETECTRON2 CASCADE_RPN_COMPILE

# A stamp says what was installed last; it goes with the environment it speaks of.
ifeq ($(PYTHON),)
PY := .venv/bin/python
STAMP := .venv/installed
else
PY := $(shell command -v $(PYTHON) || echo $(PYTHON))
STAMP := build/installed-$(subst /,_,$(PY))
endif

# Installed anew when the pinned set, the build or a kernel changes.
SOURCES := requirements.txt pyproject.toml setup.py tools/install.sh \
	$(shell find cascade_rpn_d2/layers/csrc -type f)

.PHONY: install again demo test test-slow lint asan clean

install: $(STAMP)

$(STAMP): $(SOURCES)
	@bash tools/install.sh "$(if $(PYTHON),$(PY))"
	@rm -f .venv/installed build/installed-*  # the kernels in this folder are of one environment
	@mkdir -p $(@D) && touch $@

# An installation that did without the kernels is not enough where they must compile.
ifeq ($(CASCADE_RPN_COMPILE)$(wildcard cascade_rpn_d2/_C*.so),1)
$(STAMP): again
endif

demo: install
	$(PY) tools/demo.py

test: install
	$(PY) -m pytest -m "not slow"

test-slow: install
	$(PY) -m pytest -m slow

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

asan: install
	bash tests/run_asan.sh $(PY)

clean:
	rm -rf build dist .venv *.egg-info cascade_rpn_d2/*.so
