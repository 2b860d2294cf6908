// Headers by which browsers allow shared memory, and so threads of WebAssembly.
const isolation = [
  { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
  { key: "Cross-Origin-Embedder-Policy", value: "require-corp" },
];

/** @type {import("next").NextConfig} */
export default {
  // On the server the package stays what npm installed: its models and the kernels of its threads lie beside its modules.
  serverExternalPackages: ["turboquant"],
  headers: async () => [{ source: "/:path*", headers: isolation }],
};
