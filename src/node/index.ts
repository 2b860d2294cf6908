/** @file The entry point for Node: installs the Node platform and re-exports the API. */
import "./install.ts";

export * from "../index.ts";
export { type OpenStoreOptions, openPageStore } from "./page-store/open-page-store.ts";
