# Measure: the benchmark beside its peers, networks on emulated boards, the comparison in the service. Included by Makefile.
.PHONY: bench bench-page bench-peers bench-arm serving-peers protocol-clients compare instruction-counts figures

# Each peer of the benchmark has its own environment, because their packages conflict with ours.
BENCH_PEERS := openvino litert ncnn mnn
bench-peers: $(BENCH_PEERS:%=.venv-%/ready) .venv-larq/ready ## install what `make bench` compares with (x86-64; Python 3.11)

# Bundles to compare, by arithmetic; networks of 224x224 pixels have random weights and are exported again when needed.
COMPARED := .build/compare
COMPARED_AT_224 := meliusnetc mobilenet_v1_0.5 meliusnet42 mobilenet_v1_0.75 meliusnet59 mobilenet_v1
COMPARED_CODE := $(filter-out runtime/bench/%,$(wildcard models/*.py models/*/*.py runtime/*.py runtime/*/*.py))
$(COMPARED)/float32/%/manifest.json: $(COMPARED_CODE) | setup
	@rm -rf $(@D)
	$(PYTHON) -m models.export $* $(if $(filter %_0.25,$*),--image-size 128) --no-self-test --parity-inputs 2 --out $(@D)
$(COMPARED)/int8/meliusnet%/manifest.json: $(COMPARED_CODE) | setup
	@rm -rf $(@D)
	$(PYTHON) -m models.export meliusnet$* --float-layers int8 --no-self-test --parity-inputs 2 --out $(@D)
$(COMPARED)/int8/mobilenet%/manifest.json: $(COMPARED)/float32/mobilenet%/manifest.json
	@rm -rf $(@D)
	$(PYTHON) -m models.quantize_onnx $(<D) --no-self-test --out $(@D)
# The 8-bit version of Google's network is calibrated with PHOTOS, or with noise. The names of folders contain a hash of the sources, so
# that another file or other photos give another folder.
RANGES := noise
ifneq (,$(filter compare,$(MAKECMDGOALS)))
ifdef MOBILENET
$(if $(wildcard $(MOBILENET)),,$(error expected MOBILENET=FILE, a .tflite file, found no file $(MOBILENET). models/README.md says where Google's are))
GOOGLE := $(COMPARED)/google-$(shell sha256sum '$(MOBILENET)' | cut -c1-12)
$(GOOGLE)/float/manifest.json: $(COMPARED_CODE) | setup
	@rm -rf $(GOOGLE) && mkdir -p $(GOOGLE)
	$(PYTHON) -m models.import_tflite '$(MOBILENET)' --reduce 2 --out $(GOOGLE)
endif
ifdef PHOTOS
$(if $(wildcard $(PHOTOS)/.),,$(error expected PHOTOS=DIR, a folder of photos, found no folder $(PHOTOS). Name one, or leave it out))
RANGES := photos-$(shell find -L '$(PHOTOS)' -type f -printf '%P %s %T@\n' | sort | sha256sum | cut -c1-12)
endif
ifdef MOBILENET
$(GOOGLE)/$(RANGES)/manifest.json: $(GOOGLE)/float/manifest.json
endif
endif
$(COMPARED)/%/$(RANGES)/manifest.json: | setup
	@rm -rf $(@D) && mkdir -p $(dir $(@D))
	$(PYTHON) -m models.quantize_onnx $(<D) $(if $(PHOTOS),--calibration '$(PHOTOS)',--noise) --out $(@D)

COMPARED_BUNDLES := $(if $(MOBILENET),$(GOOGLE)/float $(GOOGLE)/$(RANGES)) \
	service/bundles/mobilenet_v1 service/bundles/small
pair = --brief-case '$(1) and $(2), 224x224, random weights' \
	$(foreach network,$(1) $(2),$(COMPARED)/float32/$(network) $(COMPARED)/int8/$(network))
COMPARISON ?= runs/comparison
COMPARED_READY := $(foreach kind,float32 int8,$(COMPARED_AT_224:%=$(COMPARED)/$(kind)/%/manifest.json)) \
	$(addsuffix /manifest.json,$(COMPARED_BUNDLES))
compare: setup $(COMPARED_READY) ## load MeliusNet and MobileNet-v1 in turns, write one report (MOBILENET=F.tflite PHOTOS=DIR DATA=DIR)
	@mkdir -p $(dir $(COMPARISON))
	$(PYTHON) -m loadtests.comparison --case 'The default model and MobileNet-v1' service/bundles/default $(COMPARED_BUNDLES) \
	  $(call pair,meliusnetc,mobilenet_v1_0.5) $(call pair,meliusnet42,mobilenet_v1_0.75) $(call pair,meliusnet59,mobilenet_v1) \
	  $(if $(PHOTOS),--photos '$(PHOTOS)') $(if $(DATA),--data '$(DATA)') \
	  --html $(COMPARISON).html --markdown $(COMPARISON).md --json $(COMPARISON).json $(COMPARE_ARGS)
BENCH_BUNDLES ?= service/bundles/default $(COMPARED)/float32/meliusnet22
# Networks with random weights for peers, unless BENCH_ARGS selects only other sections.
WITH_PEERS := $(if $(findstring --only,$(BENCH_ARGS)),$(findstring peers,$(BENCH_ARGS))$(findstring end-to-end,$(BENCH_ARGS)),yes)
PEER_NETWORKS := $(patsubst %,$(COMPARED)/%,float32/meliusnet22 float32/mobilenet_v1_0.25 $(COMPARED_AT_224:%=float32/%) \
	$(filter int8/meliusnet%,$(COMPARED_AT_224:%=int8/%)))
BENCH_READY := $(patsubst %,%/manifest.json,$(filter $(COMPARED)/%,$(sort $(BENCH_BUNDLES) $(if $(WITH_PEERS),$(PEER_NETWORKS)))))
bench: setup $(BENCH_READY) ## measure kernels, layers, networks, engines and peers (BENCH_ARGS='--only layers --plot F.svg')
	$(PYTHON) -m runtime.bench --bundle $(BENCH_BUNDLES) $(if $(WITH_PEERS),--exports $(COMPARED)) $(BENCH_ARGS)
bench-page: setup bench-peers ## measure for runtime/bench/README.md, with all instructions and with AVX2's (BENCH_ARGS)
	$(MAKE) bench BENCH_ARGS='--markdown runtime/bench/README.md --plot runtime/bench.svg $(BENCH_ARGS)'
	BNN_FORCE_IMPLEMENTATION=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(MAKE) bench \
	  BENCH_ARGS="--only engines,end-to-end,peers --markdown runtime/bench/README.md --block 'bench avx2' $(BENCH_ARGS)"
bench-arm: setup .venv-litert/ready $(PEER_NETWORKS:=/manifest.json) ## model networks on an emulated Raspberry Pi 4 and 5, for runtime/bench/README.md (BENCH_ARGS=--layer-groups)
	$(PYTHON) -m runtime.bench.arm --exports $(COMPARED) --markdown runtime/bench/README.md $(BENCH_ARGS)

SERVING_PEERS := fastapi litserve bentoml mlserver
serving-peers: $(SERVING_PEERS:%=.venv-%/ready) ## install what `python -m loadtests.overhead --peer NAME` compares with

# Clients of the Open Inference Protocol that tests use; tritonclient is in the dev extra.
CLIENT_PEERS := kserve
protocol-clients: $(CLIENT_PEERS:%=.venv-%/ready) .venv-mlserver/ready ## install KServe's and MLServer's clients for the tests

# promise, which larq-zoo needs, has no wheel. --no-deps: the lock files are complete, except torch, which pnnx names.
.venv-%/ready: $(LOCKS)/peer-%.txt
	@test $* != larq || $(PEER_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo 'error: expected Python 3.11, the last one that larq-compute-engine is built for; found' \
	    "$$($(PEER_PYTHON) --version). Name one: make bench-peers PEER_PYTHON=python3.11" >&2; exit 1; }
	@echo 'installing $*, a peer to compare with, in .venv-$*'
	@$(PEER_PYTHON) -m venv .venv-$*
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  --no-deps --only-binary :all: --no-binary promise -r $<
	@touch $@

figures: $(STAMPS)/venv ## write the figures in README.md, from records and generated tables
	$(PYTHON) .ci/figures

instruction-counts: setup ## count the NEON kernels' instructions under emulation (Debian's cross compiler and qemu)
	$(PYTHON) -m runtime.bench.instruction_counts
