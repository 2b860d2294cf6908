/**
 * @file Vite plugin: the engine's worker as an entry of the page's own build, so that both share the chunks of what they have in common,
 * such as the families of models. Vite's own way builds a worker apart and repeats them.
 */
import type { Plugin } from "vite";

const MODULE = "virtual:engine-worker";
const RESOLVED = `\0${MODULE}`;

/** file: of the worker, absolute · served: where the development server has it */
export function engineWorker(file: string, served: string): Plugin {
  let isBuild = false;
  let reference = "";
  return {
    name: "engine-worker",
    configResolved({ command }) {
      isBuild = command === "build";
    },
    buildStart() {
      if (isBuild) reference = this.emitFile({ type: "chunk", id: file, name: "worker" });
    },
    resolveId: (id) => (id === MODULE ? RESOLVED : null),
    load(id) {
      if (id !== RESOLVED) return null;
      return `export default ${isBuild ? `import.meta.ROLLUP_FILE_URL_${reference}` : JSON.stringify(served)};`;
    },
  };
}
