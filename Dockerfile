# One image for every role of a cluster: `dmi coordinator` or `dmi agent` (see docker-compose.yml).
FROM node:20-bookworm AS build
WORKDIR /opt/dmi
COPY . .
RUN scripts/setup && npm prune --omit=dev

FROM node:20-bookworm-slim
WORKDIR /opt/dmi
COPY --from=build /opt/dmi/package.json ./
COPY --from=build /opt/dmi/node_modules ./node_modules
COPY --from=build /opt/dmi/packages ./packages
COPY --from=build /opt/dmi/native/build/bin ./native/build/bin
COPY --from=build /opt/dmi/native/build/lib ./native/build/lib
COPY --from=build /opt/dmi/native/build/include ./native/build/include
COPY --from=build /opt/dmi/native/build/Release ./native/build/Release
COPY --from=build /opt/dmi/examples ./examples
RUN ln -s /opt/dmi/packages/cli/bin/dmi.js /usr/local/bin/dmi
USER node
WORKDIR /work
ENTRYPOINT ["dmi"]
CMD ["--help"]
