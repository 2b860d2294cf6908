import { describe, expect, it } from "vitest";
import { sha256Hex } from "./sha256.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("sha256Hex", () => {
  it("gives the digests of FIPS 180-4's examples", () => {
    expect(sha256Hex([])).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(sha256Hex([bytes("abc")])).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(sha256Hex([bytes("abcdbcdecdefdefgefghfghighijhijkijkl"), bytes("jklmklmnlmnomnopnopq")])).toBe(
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    );
  });

  it("agrees with Web Crypto around block borders", async () => {
    for (const length of [55, 56, 63, 64, 65, 119, 120, 1000]) {
      const data = new Uint8Array(length).map((_, i) => i * 37);
      const expected = [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))];
      expect(sha256Hex([data])).toBe(expected.map((b) => b.toString(16).padStart(2, "0")).join(""));
    }
  });
});
