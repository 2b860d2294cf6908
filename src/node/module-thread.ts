/** @file Starts a thread from a module of this package. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type ResourceLimits, type TransferListItem, Worker } from "node:worker_threads";

export interface ModuleThreadOptions {
  readonly workerData?: unknown;
  readonly transferList?: readonly TransferListItem[];
  readonly resourceLimits?: ResourceLimits;
}

/** importer: `import.meta.url` of the caller · name: of the module beside it, without its ending. In a checkout the modules are TypeScript. */
export function startModuleThread(importer: string, name: string, options: ModuleThreadOptions = {}): Worker {
  const { workerData, transferList = [], resourceLimits } = options;
  const more = { workerData, transferList: [...transferList], execArgv: [], ...(resourceLimits && { resourceLimits }) };
  if (!importer.endsWith(".ts")) return new Worker(new URL(`./${name}.js`, importer), more);
  return new Worker(bundleOf(new URL(`./${name}.ts`, importer).href, importer), more);
}

/** What is used of esbuild, which a checkout has. */
interface Bundler {
  buildSync(options: object): { readonly outputFiles: readonly { readonly text: string }[] };
}

const bundles = new Map<string, URL>();

/**
 * A module of TypeScript with all that it imports, as the address of its text. A thread that compiles each of the modules by itself takes eight times
 * as long to start.
 */
function bundleOf(module: string, importer: string): URL {
  const known = bundles.get(module);
  if (known) return known;
  const { buildSync } = createRequire(importer)("esbuild") as Bundler;
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(module)],
    ...{ bundle: true, write: false, platform: "node", format: "esm", target: "node20", logLevel: "silent" },
    define: { "import.meta.url": JSON.stringify(module) },
  });
  // Stacks name the module, not its whole text.
  const text = `${outputFiles[0]!.text}\n//# sourceURL=${module}`;
  const bundle = new URL(`data:text/javascript,${encodeURIComponent(text)}`);
  bundles.set(module, bundle);
  return bundle;
}
