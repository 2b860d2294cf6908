import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    setupFiles: ["test/property-seed.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two cores are common; WASM tests start threads of their own.
    maxWorkers: 2,
  },
});
