# voxlex on the CPU: docker build -t voxlex .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /source
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt build hatchling
COPY pyproject.toml README.md LICENSE ./
COPY src src
# the constraint names the build of PyTorch: without CUDA, or not at all
RUN python -m build --no-isolation --wheel --outdir /dist \
    && sed 's/^torch==[0-9.]*/&+cpu/' constraints.txt > /dist/constraints.txt

FROM python:${PYTHON}-slim-bookworm
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=build /dist /dist
RUN pip install --no-cache-dir --constraint /dist/constraints.txt --extra-index-url "${TORCH_INDEX}" \
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
