# The worker in an image of two files: the program, and the certificate authorities by
# which it knows the vendors and the brokers. There is no shell, and nobody is root.
#
#   make image
#
# docs/operations.md, Image, has more. make image-test builds this file as it is, with the
# machine's own Go, make and git standing in for the image that the first stage begins with.

ARG GO_VERSION=1.26

# On the builder's own platform, whatever the image's is: Go compiles for others, and
# nothing has to be emulated.
FROM --platform=$BUILDPLATFORM golang:$GO_VERSION AS build
ARG TARGETARCH
WORKDIR /src
# The modules by themselves, so that they are fetched again only when they change.
COPY go.mod go.sum ./
RUN go mod download
# With .git: Go makes the version of the commit.
COPY . .
RUN make DIST=/dist /dist/linux_$TARGETARCH/usersync && mv /dist/linux_$TARGETARCH/usersync /usersync

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
# The commit's time and not the build's, or no two builds would be alike.
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="usersync" \
      org.opencontainers.image.description="Keeps the users that TapTalk and Haptik hold up to date with a database's changes in Kafka" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usersync /usersync
# A number, for Kubernetes cannot tell of a name that it is not root's.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usersync"]
CMD ["run", "-c", "/etc/usersync/config.yaml"]
