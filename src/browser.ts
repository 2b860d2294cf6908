/** @file The entry point for browsers: installs the browser platform and re-exports the API. */
import { browserPlatform } from "./browser-platform.ts";
import { setPlatform } from "./platform.ts";

setPlatform(browserPlatform);

export * from "./index.ts";
