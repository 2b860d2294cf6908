/** @file Pages in a bucket: between engines, with signatures that a server checks, and what the address and the environment have to say. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { S3_ENVIRONMENT, type S3Server, startS3 } from "../../../test/support/s3-server.ts";
import { answers, randomPrompt, SEEDED, said } from "../../../test/support/scheduled.ts";
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { openS3Store } from "./s3-store.ts";

const KEYS = ["a", "b"].map((digit) => digit.repeat(64));
const { signal } = new AbortController();

describe("pages in a bucket", () => {
  let s3: S3Server;
  beforeEach(async () => {
    s3 = await startS3("pages");
  });
  afterEach(() => s3[Symbol.asyncDispose]());

  const open = (more: Readonly<Record<string, string>> = {}, address = "s3://pages/of/all"): Promise<PageStore> =>
    openS3Store(address, { ...S3_ENVIRONMENT, AWS_ENDPOINT_URL: s3.url, ...more });

  it("are put and got under the prefix, with signatures that are right", async () => {
    const value = Uint8Array.from({ length: 1000 }, (_, i) => i);
    const store = await open({ AWS_SESSION_TOKEN: "a token" });
    await store.put(KEYS[0]!, value, signal);
    expect([...s3.objects.keys()]).toEqual([`/pages/of/all/${KEYS[0]}`]);
    expect(await store.has(KEYS, signal)).toEqual([true, false]);
    expect(await store.get(KEYS[0]!, 1000, signal)).toEqual(value);
    expect(await store.get(KEYS[0]!, 999, signal)).toBeNull();
    expect(await store.get(KEYS[1]!, 1000, signal)).toBeNull();
    // Keys are asked for together, so their answers come in any order.
    expect(s3.answers.toSorted()).toEqual(
      [`PUT a 200`, `HEAD a 200`, `HEAD b 404`, `GET a 200`, `GET a 200`, `GET b 404`].toSorted(),
    );
  });

  it("are not had with another secret, or in another bucket", async () => {
    const other = await open({ AWS_SECRET_ACCESS_KEY: "another" });
    await expect(other.put(KEYS[0]!, new Uint8Array(3), signal)).rejects.toThrow(
      "S3 answered 403 SignatureDoesNotMatch",
    );
    await expect(other.has(KEYS, signal)).rejects.toThrow("S3 answered 403");
    await expect(other.get(KEYS[0]!, 9, signal)).rejects.toThrow("S3 answered 403 SignatureDoesNotMatch");
    const elsewhere = await open({}, "s3://others");
    await expect(elsewhere.put(KEYS[0]!, new Uint8Array(3), signal)).rejects.toThrow("S3 answered 404 NoSuchBucket");
    expect(s3.objects.size).toBe(0);
  });

  it("let an engine continue from another's", async () => {
    const prompt = randomPrompt(300, 1);
    const told: { cached: number | undefined; said: object }[] = [];
    for (let i = 0; i < 2; i++) {
      const { llm } = await loadFake();
      const scheduler = new Scheduler(llm, { pageStore: { store: await open(), fetch: "always" } });
      const [answer] = await answers(scheduler.generate(prompt, { ...SEEDED, maxNewTokens: 4 }));
      told.push({ cached: answer!.cached, said: said(answer!) });
      await scheduler.drain();
      await scheduler.close();
      await llm.dispose();
    }
    expect(told).toEqual([
      { cached: 0, said: told[0]!.said },
      { cached: 256, said: told[0]!.said },
    ]);
  });
});

it("refuses addresses and environments that name no bucket, in one line", async () => {
  for (const address of ["s3:", "s3://", "s3://UPPER", "s3://bucket/a b", "s3://bucket?x"]) {
    await expect(openS3Store(address, S3_ENVIRONMENT)).rejects.toThrow(/^--page-store: expected s3:\/\/BUCKET/);
  }
  const { AWS_SECRET_ACCESS_KEY: _, ...without } = S3_ENVIRONMENT;
  await expect(openS3Store("s3://bucket", without)).rejects.toThrow(/^--page-store: .* set AWS_ACCESS_KEY_ID and/);
  await expect(openS3Store("s3://bucket", { ...S3_ENVIRONMENT, AWS_ENDPOINT_URL: "host:1" })).rejects.toThrow(
    /^--page-store: AWS_ENDPOINT_URL: expected http/,
  );
});
