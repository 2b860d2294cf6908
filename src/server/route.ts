/** @file What a route is: to the router its method, path and handler, and to the description of the API (openapi.ts) what else stands here. */
import type { z } from "zod";
import type { Call } from "./call.ts";

export type Handler = (
  call: Call,
  params: Readonly<Record<string, string>>,
  query: URLSearchParams,
) => Response | Promise<Response>;

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** As the router reads it. */
  readonly path: string;
  /** Whether the path is there behind `/v1` as well. */
  readonly hasVersion?: boolean;
  /** Whether it needs no API key: what balancers and generators of clients ask. */
  readonly isOpen?: boolean;
  /** One line for people. */
  readonly does: string;
  readonly body?: { readonly name: string; readonly schema: z.ZodObject; readonly isOptional?: boolean };
  /** Values that a parameter of the query may have. */
  readonly query?: Readonly<Record<string, readonly string[]>>;
  /** Default: application/json, and events where the body has a field `stream`. */
  readonly answer?: string;
  readonly handler: Handler;
}

/** A route whose handler gets the body of the request, checked by the schema that describes it. */
export const posts = <T>(
  path: string,
  does: string,
  name: string,
  schema: z.ZodObject & z.ZodType<T>,
  handler: (call: Call, request: T) => Response | Promise<Response>,
): Route => ({
  method: "POST",
  path,
  does,
  body: { name, schema },
  handler: async (call) => handler(call, await call.body(schema)),
});
