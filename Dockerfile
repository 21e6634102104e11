# The service's image. `docker build .` makes the small one (native and onnx engines, no torch); `--target runtime-torch`
# adds torch's CPU build and the torchscript engine. Both run as 10001:10001 and need no writable root.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# ---- builder: locked dependencies and the package in /opt/bnn, an environment without pip ---------------------------
FROM ${PYTHON_IMAGE} AS builder
# Nothing is compiled while installing; all is at the end, without time stamps, for a root that is never written.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# The compiler's version follows the base image, which is where it is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .locks/build.txt .locks/runtime.txt .locks/
RUN python -m venv --without-pip /opt/bnn \
    && pip install --no-cache-dir --require-hashes --only-binary :all: -r .locks/build.txt \
    && pip --python /opt/bnn/bin/python install --no-compile --no-cache-dir --require-hashes --only-binary :all: \
        -r .locks/runtime.txt
COPY . .
RUN BNN_TORCH=OFF pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels . \
    && pip --python /opt/bnn/bin/python install --no-compile --no-cache-dir --no-deps /wheels/*.whl \
    && /opt/bnn/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/bnn/lib \
    # the bundles under a path that no version of Python is part of: BNN_BUNDLE=/opt/bnn/bundles/mobilenet_v1
    && ln -s /opt/bnn/lib/python3.*/site-packages/service/bundles /opt/bnn/bundles \
    && test -f /opt/bnn/bundles/mobilenet_v1/manifest.json

# ---- builder-torch: the same with torch and the operator library ----------------------------------------------------
FROM builder AS builder-torch
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip --python /opt/bnn/bin/python install --no-compile --no-cache-dir --require-hashes --only-binary :all: \
        -r .locks/torch-dependencies.txt \
    && pip --python /opt/bnn/bin/python install --no-compile --no-cache-dir --require-hashes --only-binary :all: --no-deps \
        --index-url "${TORCH_INDEX}" -r .locks/torch.txt
RUN PYTHONPATH="$(/opt/bnn/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" BNN_TORCH=ON \
        pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels-torch . \
    && pip --python /opt/bnn/bin/python install --no-compile --no-cache-dir --no-deps --force-reinstall /wheels-torch/*.whl \
    # torch ships test code for other versions of Python, which does not compile
    && /opt/bnn/bin/python -m compileall -q --invalidation-mode unchecked-hash -x '/torch/testing/' /opt/bnn/lib

# ---- base: what both images share ------------------------------------------------------------------------------------
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
ENTRYPOINT ["python", "-m", "service"]

FROM base AS runtime-torch
COPY --from=builder-torch /opt/bnn /opt/bnn

# ---- the default -----------------------------------------------------------------------------------------------------
FROM base AS runtime
COPY --from=builder /opt/bnn /opt/bnn
