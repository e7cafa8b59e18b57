# The gateway, the simulator and the other commands in one image:
#
#   docker build -t zhongkong .
#   docker run --rm -p 127.0.0.1:8300:8300 zhongkong serve --demo --listen 0.0.0.0:8300 --plain-http

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=1 go build -trimpath -ldflags "-s -w" -o /zhongkong ./cmd/zhongkong

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 65532 --home-dir /var/lib/zhongkong --create-home zhongkong
COPY --from=build /zhongkong /usr/local/bin/zhongkong
USER 65532:65532
WORKDIR /var/lib/zhongkong
VOLUME /var/lib/zhongkong
EXPOSE 8300
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["zhongkong", "healthcheck"]
ENTRYPOINT ["zhongkong"]
CMD ["serve"]
