# syntax=docker/dockerfile:1
#
# docker build -t weir . && docker run --rm --read-only -p 8080:8080 -p 9902:9902 -v ./weir.yaml:/etc/weir/weir.yaml:ro weir
#
# Pin the base by digest where you build for production; glibc is needed, since onnxruntime-node has no musl build.
ARG NODE=26-bookworm-slim

FROM node:${NODE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json LICENSE ./
COPY gateway gateway
COPY plugins plugins
COPY config config
RUN npm run prepack

FROM node:${NODE} AS dependencies
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# onnxruntime-node carries the libraries of every platform; the image needs its own.
RUN npm ci --omit=dev && node -e "for (const os of ['darwin', 'win32']) fs.rmSync('node_modules/onnxruntime-node/bin/napi-v6/' + os, { recursive: true, force: true }); for (const arch of ['x64', 'arm64']) if (arch !== process.arch) fs.rmSync('node_modules/onnxruntime-node/bin/napi-v6/linux/' + arch, { recursive: true, force: true })"

FROM node:${NODE}
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="The gateway that stands in front of machine-learning models" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /src/node_modules node_modules
COPY --from=build /src/dist dist
COPY package.json LICENSE ./
# Plugins of users, wherever they are mounted, find the contract they import from `weir/plugin`.
RUN mkdir /node_modules && ln -s /app /node_modules/weir
COPY config/examples/container.yaml /etc/weir/weir.yaml
COPY config/examples/models /etc/weir/models
USER node
EXPOSE 8080 9902
# Node is PID 1 and gets the signal itself: SIGTERM drains, a second one stops at once.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["node", "-e", "fetch('http://127.0.0.1:9902/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/gateway/main.js"]
CMD ["run", "/etc/weir/weir.yaml"]
