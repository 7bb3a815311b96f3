# The wheel with its pinned packages, Java and the jars: make wheel && docker build -t smallcaps .
FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 smallcaps
COPY requirements.lock dist/smallcaps-*.whl /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock \
    && pip install --no-cache-dir --no-deps /tmp/smallcaps-*.whl \
    && rm /tmp/requirements.lock /tmp/smallcaps-*.whl
COPY jobs /opt/smallcaps/jobs
USER smallcaps
WORKDIR /home/smallcaps
RUN smallcaps jars > /dev/null
ENTRYPOINT ["smallcaps"]
