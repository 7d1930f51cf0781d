# maskmill and the libraries of its networks, for the workers of compose.yaml.
# Not built where it was written: see the header of compose.yaml.

# yt-dlp runs YouTube's JavaScript in it
FROM denoland/deno:bin-2.5.6 AS deno

FROM python:3.11-slim-bookworm

# `lite,review,postgres` for a CPU; add `torch` for a GPU, whose wheels bring CUDA along
ARG EXTRAS=lite,review,postgres

RUN useradd --create-home --uid 1000 maskmill \
    && install --directory --owner=maskmill /srv/maskmill /home/maskmill/.cache
COPY --from=deno /deno /usr/local/bin/deno

# the libraries alone, in a layer that stays until pyproject.toml or constraints.txt changes
WORKDIR /opt/maskmill
COPY pyproject.toml constraints.txt ./
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *(library for extra in sys.argv[1].split(',') for library in project['optional-dependencies'][extra]), sep='\n')" "${EXTRAS}" > libraries.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement libraries.txt

COPY . .
RUN pip install --no-cache-dir --no-deps .

USER maskmill
# elsewhere than the code: what is imported is what was installed
WORKDIR /srv/maskmill
ENV PYTHONUNBUFFERED=1 \
    MASKMILL_HOME=/srv/maskmill

CMD ["maskmill", "--help"]
