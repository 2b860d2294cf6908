// Headers by which browsers allow shared memory, and so threads of WebAssembly. A server of yours sends the same ones.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default {
  server: { headers },
  preview: { headers },
  build: { target: "es2022" },
};
