/** @file Serves the files of the web page, with the headers that allow it to use threads. */
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { CONTENT_ENCODINGS, type ContentEncoding } from "./server-context.ts";

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
    const encoding = file.compressed && acceptedEncoding(request.headers.get("accept-encoding"));
    return new Response(encoding ? await file.compressed!(encoding) : file.bytes, {
      headers: {
        ...(file.compressed && { vary: "accept-encoding" }),
        ...(encoding && { "content-encoding": encoding }),
        ...ISOLATION,
        // The page offers this model beside those that it loads itself.
        "x-turboquant-model": encodeURIComponent(server.models.names[0] ?? ""),
        "content-type": file.type,
        "cache-control": file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
        "x-content-type-options": "nosniff",
      },
    });
  }
  if (pathname === "/") return new Response(HINT, { headers: { "content-type": "text/plain; charset=utf-8" } });
  return noRoute({ request });
}

/** Of what a request accepts, what saves most; undefined for neither (RFC 9110, 12.5.3). */
export function acceptedEncoding(header: string | null): ContentEncoding | undefined {
  const weights = new Map(
    (header ?? "").split(",").map((part) => {
      const [name = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
      const weight = parameters.find((text) => text.startsWith("q="));
      return [name, weight ? Number(weight.slice(2)) : 1];
    }),
  );
  const accepts = (name: string): boolean => (weights.get(name) ?? weights.get("*") ?? 0) > 0;
  return CONTENT_ENCODINGS.find(accepts);
}

/** @throws ApiError 404 */
export function noRoute({ request }: Pick<Call, "request">): never {
  const path = new URL(request.url).pathname.slice(0, 200);
  throw new ApiError(404, `${request.method} ${path}: there is no such route; see docs/server.md`, {
    code: "not_found",
  });
}
