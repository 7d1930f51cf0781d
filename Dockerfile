# maskmill and the libraries of its networks, for the workers of compose.yaml.
# Not built where it was written: see the header of compose.yaml.
FROM python:3.11-slim-bookworm

# `lite,review,postgres` for a CPU; add `torch` for a GPU, whose wheels bring CUDA along
ARG EXTRAS=lite,review,postgres

RUN useradd --create-home --uid 1000 maskmill \
    && install --directory --owner=maskmill /srv/maskmill /home/maskmill/.cache

WORKDIR /opt/maskmill
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"

USER maskmill
# elsewhere than the code: what is imported is what was installed
WORKDIR /srv/maskmill
ENV PYTHONUNBUFFERED=1 \
    MASKMILL_HOME=/srv/maskmill

CMD ["maskmill", "--help"]
