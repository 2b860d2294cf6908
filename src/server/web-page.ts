/** @file Serves the files of the web page, with the headers that allow it to use threads. */
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";

const HINT = `turboquant: an OpenAI-compatible server. The API is at /v1, see docs/server.md.
The web page is not built: run \`npm run build\` and start the server again.
`;

/** Browsers allow shared memory only on cross-origin isolated pages, which these headers make it. */
const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

export async function webPage({ server, request }: Call): Promise<Response> {
  const { pathname } = new URL(request.url);
  const file = await server.staticFiles?.(pathname === "/" ? "/index.html" : pathname);
  if (file) {
    return new Response(file.bytes, {
      headers: {
        ...ISOLATION,
        // The page offers this model beside those that it loads itself.
        "x-turboquant-model": encodeURIComponent(server.modelNames[0] ?? ""),
        "content-type": file.type,
        "cache-control": file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
        "x-content-type-options": "nosniff",
      },
    });
  }
  if (pathname === "/") return new Response(HINT, { headers: { "content-type": "text/plain; charset=utf-8" } });
  return noRoute({ request });
}

/** @throws ApiError 404 */
export function noRoute({ request }: Pick<Call, "request">): never {
  const path = new URL(request.url).pathname.slice(0, 200);
  throw new ApiError(404, `${request.method} ${path}: there is no such route; see docs/server.md`, {
    code: "not_found",
  });
}
