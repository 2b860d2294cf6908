/** @file Access control: API keys, Host headers, and pages of other origins. */
import { ApiError } from "./api-error.ts";
import { RATE_HEADERS } from "./rate-limits.ts";

const encoder = new TextEncoder();

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

/** Compares in constant time, whatever the lengths and wherever the first difference is. */
export async function isSameSecret(a: string, b: string): Promise<boolean> {
  const [x, y] = [await digest(a), await digest(b)];
  let difference = 0;
  for (let i = 0; i < x.length; i++) difference |= x[i]! ^ y[i]!;
  return difference === 0;
}

/**
 * Checks the API key of a request and returns it; "" when the server needs none. Anthropic's clients have a header of their own for it.
 * @throws ApiError 401
 */
export async function checkKey(headers: Headers, keys: readonly string[]): Promise<string> {
  if (keys.length === 0) return "";
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.get("authorization") ?? "")?.[1]?.trim();
  const sentKey = bearer ?? headers.get("x-api-key") ?? undefined;
  if (sentKey === undefined) {
    throw new ApiError(401, "no API key: send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`", {
      code: "missing_api_key",
    });
  }
  let found = false;
  // Compares with every key, so that the time does not show which one matched.
  for (const key of keys) if (await isSameSecret(sentKey, key)) found = true;
  if (!found)
    throw new ApiError(401, "wrong API key: check the key that the server was started with", {
      code: "invalid_api_key",
    });
  return sentKey;
}

/** A host name without its port. */
const nameOf = (host: string): string => host.replace(/:\d+$/, "").toLowerCase();

/**
 * Refuses unknown Host headers. A foreign page could map its own name to this address (DNS rebinding) and read the answers, so
 * a server on loopback answers only to loopback's names.
 * @throws ApiError 403
 */
export function checkHost(host: string | undefined, allowed: readonly string[] | null): void {
  if (!allowed || host === undefined || allowed.includes(nameOf(host))) return;
  throw new ApiError(
    403,
    `host ${host.slice(0, 100)}: this server answers to ${allowed.join(", ")} only; name others with --allowed-host`,
    {
      code: "wrong_host",
    },
  );
}

/**
 * What clients without keys are told apart by: an IPv4 address, and of an IPv6 address its first 64 bits, as one line has all the others to choose from.
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const wordsOf = (text: string | undefined): string[] => (text ? text.split(":") : []);
  const [first, last] = [wordsOf(head), wordsOf(tail)];
  const zeros = tail === undefined ? 0 : 8 - first.length - last.length;
  const words = [...first, ...Array<string>(Math.max(0, zeros)).fill("0"), ...last].slice(0, 4);
  return `${words.map((word) => Number.parseInt(word, 16).toString(16)).join(":")}::/64`;
}

/** Adds headers of `corsHeaders` to an answer, which may depend on more than the origin. */
export function addCors({ headers }: Response, cors: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(cors)) {
    if (name === "vary") headers.append(name, value);
    else headers.set(name, value);
  }
}

/** Headers of answers that pages may read. */
const SHOWN_HEADERS = ["x-request-id", "request-id", "x-ignored-fields", "retry-after", ...RATE_HEADERS].join(", ");
/** Headers that pages may send without asking for more. */
const PAGE_HEADERS = "authorization, content-type";
/** Names of headers, as a preflight request lists them. */
const HEADER_NAMES = /^[\w!#$%&'*+.^|~-]+(?:\s*,\s*[\w!#$%&'*+.^|~-]+)*$/;

/**
 * CORS headers of the answer; none for our own page and for programs that are not browsers.
 *
 * wanted: the headers that a preflight request asks for, which a page that may call may send: none of them means more here than
 * `authorization` does
 * @throws ApiError 403 — a page of an origin that is not allowed. Without
 * this error it could still send requests without reading the answers.
 */
export function corsHeaders(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
  wanted?: string | null,
): Record<string, string> {
  if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return {};
  const isOpen = allowed.includes("*");
  if (!isOpen && !allowed.includes(origin)) {
    throw new ApiError(
      403,
      `origin ${origin.slice(0, 100)}: pages of other origins may not call; start the server with --cors-origin ${origin.slice(0, 100)}`,
      {
        code: "origin_not_allowed",
      },
    );
  }
  return {
    "access-control-allow-origin": isOpen ? "*" : origin,
    "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
    "access-control-allow-headers": wanted && HEADER_NAMES.test(wanted) ? wanted : PAGE_HEADERS,
    "access-control-expose-headers": SHOWN_HEADERS,
    "access-control-max-age": "600",
    vary: "origin",
  };
}
