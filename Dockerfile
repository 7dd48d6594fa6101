# The image for those who have an engine: docker build .
# A release's image is made without one, by make release, and has the same files.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build && \
	go run ./internal/dependencies licences bin/THIRD-PARTY-LICENSES && \
	go -C internal/image run . root /root-of-image /src/bin/git-credential-acp /src/LICENSE /src/bin/THIRD-PARTY-LICENSES

FROM scratch
COPY --from=build /root-of-image/ /
LABEL org.opencontainers.image.source=https://github.com/ambient-code/git-credential-acp \
	org.opencontainers.image.licenses=Apache-2.0
ENV PATH=/
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/git-credential-acp"]
