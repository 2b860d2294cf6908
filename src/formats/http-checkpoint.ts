/** @file Opens the checkpoint at an address: a folder, one GGUF file with its parts beside it, or a folder's GGUF file of a quantization. */
import { quantOfPath } from "./gguf/quant-names.ts";
import { HttpSource, type HttpSourceOptions } from "./http-source.ts";

/** Files by whose address their folder may be named. */
const OF_A_FOLDER = /\/(config\.json|model\.safetensors|model\.safetensors\.index\.json)$/;

/** `…/folder:Q4_K_M`. */
const WITH_QUANT = /^(.*\/[^:/]*):([\w][\w.+-]*)$/;

/**
 * url: absolute, or relative to the page. A query (`?download=true`, a signature) goes with every request.
 * name: for messages, and as the model's; by default the address without the query
 */
export function httpCheckpoint(url: string, options: HttpSourceOptions = {}, name?: string): HttpSource {
  const [, path = url, query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(url) ?? [];
  if (path.endsWith(".gguf")) {
    const cut = path.lastIndexOf("/") + 1;
    const folder = cut === 0 ? "." : path.slice(0, cut - 1);
    return new HttpSource(folder, { ...options, query, weights: decoded(path.slice(cut)) }, name);
  }
  const [, folder, quant] = WITH_QUANT.exec(path) ?? [];
  if (folder !== undefined && quant !== undefined && quantOfPath(quant) !== null) {
    return new HttpSource(folder, { ...options, query, quant }, name);
  }
  return new HttpSource(path.replace(OF_A_FOLDER, "").replace(/\/+$/, ""), { ...options, query }, name);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
