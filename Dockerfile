# The service's images. `docker build .` makes `service-slim`, native and onnx engines without torch; `--target baseline`
# serves the MobileNet-v1 instead; `--target service` adds torch's CPU build and the torchscript engine. All run as
# 10001:10001 and need no writable root.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# ---- base: what all images share -------------------------------------------------------------------------------------
# First, because buildah 1.28 looks for every stage's base image with the platform of the first.
FROM ${PYTHON_IMAGE} AS base
LABEL org.opencontainers.image.title="bnn-service" \
      org.opencontainers.image.description="Image classification with bit-packed binary neural networks" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/bnn/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BNN_HOST=0.0.0.0 \
    BNN_PORT=8000
# An empty directory: the installed package is used, not a source tree beside it.
WORKDIR /srv/bnn
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"BNN_PORT\"]}/livez', timeout=2)"]
ENTRYPOINT ["bnn-service"]

# ---- builder: locked dependencies and the package in /opt/bnn, an environment without pip ---------------------------
# It runs on the platform of the builder, not of the image: compiler and pip get the target platform, so nothing is
# emulated. The later stages of the small images only copy.
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS builder
ARG TARGETARCH
# Where packages come from; both empty: from PyPI. A folder for PIP_FIND_LINKS has to be mounted into the build.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1
# The compiler's version follows the base image, which is where it is pinned.
# hadolint ignore=DL3008
RUN case "$TARGETARCH" in \
        amd64) machine=x86_64 package=g++-x86-64-linux-gnu ;; \
        arm64) machine=aarch64 package=g++-aarch64-linux-gnu ;; \
        *) echo "error: expected TARGETARCH amd64 or arm64, found '$TARGETARCH'; give --platform linux/arm64" >&2; exit 1 ;; \
    esac \
    && echo "$machine" > /machine \
    && if [ "$machine" = "$(uname -m)" ]; then package=g++; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$package" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .locks/build.txt .locks/runtime.txt .locks/
# Nothing is compiled to byte code while installing; everything is at the end, without time stamps, for a read-only root.
RUN machine="$(cat /machine)" \
    && pip install --require-hashes --only-binary :all: -r .locks/build.txt \
    && python -m venv --without-pip /opt/bnn \
    && site="$(echo /opt/bnn/lib/python3.*/site-packages)" \
    && pip --python /opt/bnn/bin/python install --no-compile --require-hashes --only-binary :all: --target "$site" \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" --platform "manylinux2014_$machine" \
        -r .locks/runtime.txt \
    # Remove what serving does not read: commands, tests, headers, and ONNX Runtime's tools and second library, which its
    # Python module must not need
    && "$machine-linux-gnu-readelf" --dynamic "$site"/onnxruntime/capi/onnxruntime_pybind11_state*.so > /needed \
    && ! grep 'NEEDED.*libonnxruntime\.so' /needed \
    && rm -rf "${site:?}"/bin "$site"/onnxruntime/capi/libonnxruntime.so* "$site"/onnxruntime/transformers \
        "$site"/onnxruntime/quantization "$site"/onnxruntime/tools "$site"/onnxruntime/datasets "$site"/onnxruntime/backend \
        "$site"/numpy/f2py "$site"/numpy/distutils "$site"/numpy/_core/include /opt/bnn/include \
    && find "$site" -type d -name tests -prune -exec rm -r {} + \
    && find "$site" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.a' -o -name '*.svg' \) -delete
COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY service service
RUN machine="$(cat /machine)" \
    && site="$(echo /opt/bnn/lib/python3.*/site-packages)" \
    && BNN_TORCH=OFF CXX="$machine-linux-gnu-g++" _PYTHON_HOST_PLATFORM="linux-$machine" \
        CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=$machine" \
        pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && pip --python /opt/bnn/bin/python install --no-compile --no-deps --target "$site" --platform "linux_$machine" \
        /wheels/*.whl \
    && mv "$site"/bin/bnn-service /opt/bnn/bin/ \
    && rmdir "$site"/bin \
    && /opt/bnn/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/bnn/lib \
    # the bundles under a path without a version of Python: BNN_BUNDLE=/opt/bnn/bundles/mobilenet_v1
    && ln -s "$site"/service/bundles /opt/bnn/bundles \
    && test -f /opt/bnn/bundles/mobilenet_v1/manifest.json

# ---- builder-torch: the same with torch and the operator library, on the image's platform: torch says how to compile --
FROM ${PYTHON_IMAGE} AS builder-torch
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
# Where torch's CPU build comes from; empty: from the two above.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY --from=builder /opt/bnn /opt/bnn
COPY .locks/build.txt .locks/torch.txt .locks/torch-dependencies.txt .locks/
RUN pip install --require-hashes --only-binary :all: -r .locks/build.txt \
    && pip --python /opt/bnn/bin/python install --no-compile --require-hashes --only-binary :all: \
        -r .locks/torch-dependencies.txt \
    && pip --python /opt/bnn/bin/python install --no-compile --require-hashes --only-binary :all: --no-deps \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r .locks/torch.txt
COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY service service
RUN site="$(echo /opt/bnn/lib/python3.*/site-packages)" \
    && PYTHONPATH="$site" BNN_TORCH=ON pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && pip --python /opt/bnn/bin/python install --no-compile --no-deps --force-reinstall /wheels/*.whl \
    && rm -r "$site"/torch/include "$site"/torch/share \
    # torch ships test code for other versions of Python, which does not compile
    && /opt/bnn/bin/python -m compileall -q --invalidation-mode unchecked-hash -x '/torch/testing/' /opt/bnn/lib

# ---- the images ------------------------------------------------------------------------------------------------------
FROM base AS service
ENV BNN_ENGINE=torchscript
COPY --from=builder-torch /opt/bnn /opt/bnn

FROM base AS baseline
ENV BNN_BUNDLE=/opt/bnn/bundles/mobilenet_v1 \
    BNN_ENGINE=onnx
COPY --from=builder /opt/bnn /opt/bnn

# The default.
FROM base AS service-slim
COPY --from=builder /opt/bnn /opt/bnn
