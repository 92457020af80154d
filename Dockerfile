# voxlex: docker build -t voxlex .
# PyTorch comes in the build that the package index offers. --build-arg TORCH_INDEX=URL adds an index, such as that of the builds
# without CUDA, which are far smaller; with --build-arg TORCH_BUILD=+cpu no other build is taken.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /source
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt build hatchling
COPY pyproject.toml README.md LICENSE ./
COPY src src
ARG TORCH_BUILD=""
RUN python -m build --no-isolation --wheel --outdir /dist \
    && sed "s/^torch==[0-9.]*/&${TORCH_BUILD}/" constraints.txt > /dist/constraints.txt

FROM python:${PYTHON}-slim-bookworm
ARG TORCH_INDEX=""
COPY --from=build /dist /dist
RUN PIP_EXTRA_INDEX_URL="${TORCH_INDEX}" pip install --no-cache-dir --constraint /dist/constraints.txt \
        "$(echo /dist/*.whl)[explore]" \
    && rm -r /dist \
    && useradd --create-home --uid 1000 voxlex \
    && chmod 1777 /home/voxlex \
    && mkdir --mode=1777 /data
# the home serves any `--user`: caches of prepared data and of compiled functions lie in it
ENV HOME=/home/voxlex
USER 1000
WORKDIR /data
ENTRYPOINT ["voxlex"]
CMD ["--help"]
