# The scoring service: `docker build -t forecastle .`; how to run it: docs/container.md.
# Two stages: the first installs the serving set by its hashes, the second has no compiler, no pip cache and no rights.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY locks/serve.txt locks/uv.txt ./
RUN python -m venv /opt/uv \
 && /opt/uv/bin/pip install --quiet --require-hashes -r uv.txt \
 && python -m venv --without-pip /opt/forecastle \
 && /opt/uv/bin/uv pip sync --quiet --no-cache --link-mode copy --compile-bytecode \
    --python /opt/forecastle/bin/python --require-hashes serve.txt
# All of the code, for the front door is one; what trains asks for packages that are not here.
COPY forecastle.py LICENSE /opt/forecastle/app/
COPY configs /opt/forecastle/app/configs
COPY features /opt/forecastle/app/features
COPY models /opt/forecastle/app/models
COPY serving /opt/forecastle/app/serving
COPY training /opt/forecastle/app/training
RUN /opt/forecastle/bin/python -m compileall -q /opt/forecastle/app

FROM python:3.11-slim
# OpenMP, which LightGBM needs.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 700 /state
COPY --from=build /opt/forecastle /opt/forecastle
ENV PATH=/opt/forecastle/bin:$PATH \
    PYTHONPATH=/opt/forecastle/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/nonexistent \
    BENTOML_DO_NOT_TRACK=True \
    DO_NOT_TRACK=true
WORKDIR /config
USER 10001:10001
VOLUME /state
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:3000/v1/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "forecastle"]
CMD ["serve", "/config/company.yaml"]
