# The container image: the program, root certificates and licenses, nothing else.
# Its context is bin/image, which `make image-context` fills:
#   make image-context && docker build -f Dockerfile bin/image
FROM scratch
ARG TARGETARCH
COPY --chmod=0755 ${TARGETARCH}/git-credential-acp /git-credential-acp
COPY --chmod=0644 ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chmod=0644 LICENSE THIRD-PARTY-LICENSES /licenses/
LABEL org.opencontainers.image.title=git-credential-acp \
	org.opencontainers.image.description="git credential helper for GitLab on the Ambient Code Platform" \
	org.opencontainers.image.source=https://github.com/ambient-code/git-credential-acp \
	org.opencontainers.image.licenses=Apache-2.0
ENV PATH=/
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/git-credential-acp"]
