# Plain Dockerfile: builds with `docker build .` and with
# `buildah bud --format docker --isolation chroot .` (the OCI format has no HEALTHCHECK).

# Exact versions; by digest with --build-arg (docs/operations/updates.md).
ARG RUST_IMAGE=rust:1.95.0-bookworm
ARG RUNTIME_IMAGE=debian:12.15-slim

# ---- build ----------------------------------------------------------------------------
# Same Debian release as the runtime stage, so that the binary finds the libc it was linked
# with. OpenSSL, libpq and SQLite are compiled from crates: gcc, make and perl, all in this
# image, are everything they need.
FROM ${RUST_IMAGE} AS build

# rust-toolchain.toml is left out on purpose: the image's tag already gives the compiler, and
# the file's components (rustfmt, clippy) would make rustup download them for nothing.
WORKDIR /build

# Dependencies first, against an empty crate: this slow layer is built again only when the
# manifest or the lock file changes, not with every change in src/.
# .cargo says how SQLite is compiled.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/timing \
 && echo 'fn main() {}' > build.rs \
 && echo 'fn main() {}' > benches/ingest.rs \
 && echo 'fn main() {}' > benches/growth.rs \
 && echo 'fn main() {}' > benches/timing/main.rs \
 && echo 'fn main() {}' > src/main.rs \
 && : > src/lib.rs \
 && cargo build --release --locked --bin conversiond

COPY build.rs ./
COPY migrations migrations
COPY config config
COPY src src
# COPY keeps the files' own times, which are older than the empty crate's build above: without
# the touch cargo would take that one for up to date and ship a program that does nothing.
RUN find build.rs src -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --bin conversiond

# ---- runtime --------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE}

# Numbers, so that Kubernetes' runAsNonRoot can check them. The directory exists before
# VOLUME, so a fresh named volume takes over its owner; nobody else may read it, since the
# master key may lie beside the SQLite file.
RUN echo 'conversiond:x:65532:' >> /etc/group \
 && echo 'conversiond:x:65532:65532::/var/lib/conversiond:/usr/sbin/nologin' >> /etc/passwd \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/conversiond

# The public CAs, for TLS to PostgreSQL (?sslmode=verify-full&sslrootcert=system). Copied
# rather than installed: no apt, hence no network, in this stage. The variable is needed:
# a compiled-in OpenSSL otherwise looks in /usr/local/ssl, which is empty.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/conversiond /usr/local/bin/conversiond

# The API is reached through the container's network, so it listens on all its addresses. The
# operator endpoints (metrics among them) stay inside the container, where HEALTHCHECK asks
# them; to have them scraped set CONVERSIOND__ADMIN__LISTEN=0.0.0.0:9090 on a private network.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    CONVERSIOND__SERVER__LISTEN=0.0.0.0:8080 \
    CONVERSIOND__ADMIN__LISTEN=127.0.0.1:9090 \
    CONVERSIOND__DATABASE__URL=sqlite:/var/lib/conversiond/conversiond.db

USER 65532:65532
WORKDIR /var/lib/conversiond
# The only place written to, so `--read-only` works: database, journal, generated master key.
VOLUME /var/lib/conversiond
EXPOSE 8080

# Stop accepting, finish what was taken, commit, exit: give it longer than server.shutdown_s
# (15 s) before the kill, e.g. `docker run --stop-timeout 30`.
STOPSIGNAL SIGTERM
# The start period covers migrations of a large database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["conversiond", "health"]
ENTRYPOINT ["conversiond"]
CMD ["serve"]
