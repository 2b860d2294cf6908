import { defineConfig } from "vitest/config";
import { packageAlias } from "./web/build/package-alias.ts";

export default defineConfig({
  // The page imports the package by name.
  resolve: { alias: packageAlias },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "web/**/*.test.ts"],
    setupFiles: ["test/property-seed.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two cores are common; WASM tests start threads of their own.
    maxWorkers: 2,
  },
});
