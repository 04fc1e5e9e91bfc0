# All of Tern's programs in one image: docker build -t tern .   (podman, buildah: --format docker, for the HEALTHCHECK)
# A Deployment names the program that it runs. scripts/image builds it without a registry.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -q && apt-get install -q -y --no-install-recommends \
        build-essential cmake ninja-build pkg-config ca-certificates \
        libuv1-dev libwslay-dev librdkafka-dev libpq-dev libjson-c-dev libssl-dev librhonabwy-dev libgnutls28-dev \
        libcurl4-gnutls-dev libjq-dev libcmocka-dev
# Civetweb comes as its Debian source package.
RUN set -e; cd /etc/apt; \
    for file in sources.list.d/*.sources; do [ ! -e "$file" ] || sed -i 's/^Types:.*/Types: deb deb-src/' "$file"; done; \
    [ ! -e sources.list ] || sed -n 's/^deb /deb-src /p' sources.list >sources.list.d/source-packages.list; \
    apt-get update -q; mkdir /civetweb; cd /civetweb; apt-get source -q -o APT::Sandbox::User=root civetweb; mv civetweb-1.*/ source
WORKDIR /tern
COPY . .
RUN CIVETWEB_SOURCE_DIR=/civetweb/source cmake --preset release \
    && cmake --build --preset release --target tern-messaging tern-notification tern-writer ternctl tern-devbroker \
    && mkdir /programs \
    && for name in tern-messaging tern-notification tern-writer ternctl tern-devbroker; do \
           strip -o "/programs/$name" "build/release/bin/$name"; \
       done \
    && cp deploy/image/healthcheck /programs/tern-healthcheck

FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        ca-certificates libuv1 libwslay1 librdkafka1 libpq5 libjson-c5 libssl3 librhonabwy1.1 libgnutls30 libcurl3-gnutls libjq1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/* \
        /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
    && groupadd --system --gid 10001 tern \
    && useradd --system --uid 10001 --gid tern --no-create-home --home-dir / --shell /usr/sbin/nologin tern
COPY --from=build /programs/ /usr/local/bin/
USER 10001:10001
EXPOSE 3005 3006 9305 9306 9307
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/usr/local/bin/tern-healthcheck"]
CMD ["ternctl", "--help"]
