/** @file Opens the checkpoint at an address: a folder, or one GGUF file with its parts beside it. */
import { HttpSource, type HttpSourceOptions } from "./http-source.ts";

/** Files by whose address their folder may be named. */
const OF_A_FOLDER = /\/(config\.json|model\.safetensors|model\.safetensors\.index\.json)$/;

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
  return new HttpSource(path.replace(OF_A_FOLDER, "").replace(/\/+$/, ""), { ...options, query }, name);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
