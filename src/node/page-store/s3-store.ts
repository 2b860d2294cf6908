/** @file Shared pages as objects of a bucket, of Amazon S3 or of a server that speaks its protocol. */
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";

/** Questions under way together. */
const MAX_REQUESTS = 32;

/** Variables as Amazon's own tools have them. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * address: `s3://BUCKET[/PREFIX]` · environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION, and
 * AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for others than Amazon
 *
 * @throws TurboQuantError invalid_argument — not such an address, no credentials, a wrong endpoint
 */
export async function openS3Store(address: string, environment: Environment = process.env): Promise<PageStore> {
  const [, bucket, prefix = ""] =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w!.*'()/-]*))?$/.exec(address) ?? [];
  if (bucket === undefined) throw wrong(`expected s3://BUCKET[/PREFIX], got ${JSON.stringify(address.slice(0, 200))}`);
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  const { AWS_SESSION_TOKEN: sessionToken } = environment;
  if (!accessKeyId || !secretAccessKey) {
    throw wrong(`${address}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment`);
  }
  const region = environment["AWS_REGION"] || environment["AWS_DEFAULT_REGION"] || "us-east-1";
  const root = rootOf(bucket, region, environment["AWS_ENDPOINT_URL_S3"] || environment["AWS_ENDPOINT_URL"]);
  const folder = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  const { AwsClient } = await import("aws4fetch");
  const client = new AwsClient({
    ...{ accessKeyId, secretAccessKey, region, service: "s3", retries: 0 },
    ...(sessionToken && { sessionToken }),
  });
  const ask = (key: string, init: RequestInit): Promise<Response> => client.fetch(`${root}/${folder}${key}`, init);
  const isThere = async (key: string, signal: AbortSignal): Promise<boolean> => {
    const response = await ask(key, { method: "HEAD", signal });
    if (response.ok) return true;
    if (response.status === 404) return false;
    throw await faultOf(response);
  };
  return {
    name: address,
    async has(keys, signal) {
      const found: boolean[] = [];
      let next = 0;
      const asker = async (): Promise<void> => {
        while (next < keys.length) {
          const index = next++;
          found[index] = await isThere(keys[index]!, signal);
        }
      };
      await Promise.all(Array.from({ length: MAX_REQUESTS }, asker));
      return found;
    },
    async get(key, mostBytes, signal) {
      const response = await ask(key, { method: "GET", signal });
      if (response.ok && Number(response.headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= mostBytes) {
        return new Uint8Array(await response.arrayBuffer());
      }
      if (!response.ok && response.status !== 404) throw await faultOf(response);
      await response.body?.cancel();
      return null;
    },
    async put(key, value, signal) {
      const response = await ask(key, { method: "PUT", body: value as Uint8Array<ArrayBuffer>, signal });
      if (!response.ok) throw await faultOf(response);
      await response.body?.cancel();
    },
    async close() {},
  };
}

/** The address of a bucket: a path of a server that is named, a host of Amazon's otherwise, where the certificate allows it. */
function rootOf(bucket: string, region: string, endpoint: string | undefined): string {
  if (endpoint) {
    const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
    if (url?.protocol !== "http:" && url?.protocol !== "https:") {
      throw wrong(
        `AWS_ENDPOINT_URL: expected http://HOST or https://HOST, got ${JSON.stringify(endpoint.slice(0, 200))}`,
      );
    }
    return `${url.href.replace(/\/+$/, "")}/${bucket}`;
  }
  const host = `s3.${region}.amazonaws.com`;
  return bucket.includes(".") ? `https://${host}/${bucket}` : `https://${bucket}.${host}`;
}

/** What the server says is wrong, such as `AccessDenied`. */
async function faultOf(response: Response): Promise<Error> {
  const text = await response.text().catch(() => "");
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1];
  return new Error(`S3 answered ${response.status}${code ? ` ${code}` : ""}`);
}

const wrong = (message: string): TurboQuantError => new TurboQuantError("invalid_argument", `--page-store: ${message}`);
