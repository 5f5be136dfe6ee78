# The book and the program in a container.
#   CPU:  docker build -t alphaflops .
#   CUDA: docker build -t alphaflops --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 \
#             --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   docker run --rm -v "$PWD/out:/out" alphaflops rerun --profile quick --out /out      (CUDA: add --gpus all)
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/alphaflops/bin:$PATH

# The CUDA base has no Python, the Python base has one already; neither has make. Bases differ, so no version is fixed.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && { command -v python3 >/dev/null || apt-get install -y --no-install-recommends python3 python3-venv; } \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/alphaflops \
    && useradd --create-home reader

WORKDIR /home/reader/alphaflops
COPY --chown=reader:reader . .
RUN pip install -c constraints.txt --extra-index-url "${TORCH_INDEX}" -e ".[book,test]" && chown reader:reader .

USER reader
ENTRYPOINT ["alphaflops"]
CMD ["--help"]
