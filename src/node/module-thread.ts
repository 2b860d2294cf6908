/** @file Starts a thread from a module of this package. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, type TransferListItem, Worker } from "node:worker_threads";

export interface ModuleThreadOptions {
  readonly workerData?: unknown;
  readonly transferList?: readonly TransferListItem[];
  readonly resourceLimits?: ResourceLimits;
}

/**
 * importer: `import.meta.url` of the caller · name: of the module beside it, without its ending. In a checkout the modules are
 * TypeScript, and the thread loads tsx first.
 */
export function startModuleThread(importer: string, name: string, options: ModuleThreadOptions = {}): Worker {
  const { workerData, transferList = [], resourceLimits } = options;
  const more = { workerData, transferList: [...transferList], execArgv: [], ...(resourceLimits && { resourceLimits }) };
  if (!importer.endsWith(".ts")) return new Worker(new URL(`./${name}.js`, importer), more);
  const tsx = new URL("./esm/api/index.mjs", pathToFileURL(createRequire(importer).resolve("tsx"))).href;
  const module = new URL(`./${name}.ts`, importer).href;
  const source = `import(${JSON.stringify(tsx)}).then(({ register }) => { register(); return import(${JSON.stringify(module)}); })`;
  return new Worker(source, { ...more, eval: true });
}
