import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop-strings.ts";

function run(stops: readonly string[], pieces: readonly string[]): { shown: string[]; text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  const shown: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    shown.push(text);
    if (stopped) return { shown, text: shown.join(""), stopped };
  }
  shown.push(matcher.end());
  return { shown, text: shown.join(""), stopped: false };
}

describe("StopMatcher", () => {
  it("cuts before the stop string, also when it comes in pieces", () => {
    expect(run(["END"], ["a E", "N", "D b"])).toEqual({ shown: ["a ", "", ""], text: "a ", stopped: true });
    expect(run(["END"], ["all in one END."])).toMatchObject({ text: "all in one ", stopped: true });
  });

  it("withholds only what could still become one, and gives it back at the end", () => {
    expect(run(["END"], ["E", "N", "E", "N"])).toEqual({
      shown: ["", "", "EN", "", "EN"],
      text: "ENEN",
      stopped: false,
    });
    expect(run(["aab"], ["aaa", "ab"])).toMatchObject({ text: "aa", stopped: true });
    expect(run([], ["a", "b"])).toEqual({ shown: ["a", "b", ""], text: "ab", stopped: false });
  });

  it("of several, the one that is complete first ends the text", () => {
    expect(run(["abcd", "bc"], ["abcd"])).toMatchObject({ text: "a", stopped: true });
    expect(run(["b", "ab"], ["xab"])).toMatchObject({ text: "x", stopped: true });
    const matcher = new StopMatcher(["b", "ab"]);
    matcher.push("x");
    expect(matcher.found).toBeNull();
    matcher.push("ab");
    expect(matcher.found).toBe("ab");
  });

  it("shows nothing after the end", () => {
    const matcher = new StopMatcher(["."]);
    matcher.push("a.b");
    expect([matcher.push("c"), matcher.end()]).toEqual([{ text: "", stopped: true }, ""]);
  });

  it("gives the same text however it is cut, and never shows a part of what it cuts", () => {
    // Two letters, so that stop strings overlap themselves and each other.
    const word = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 3 }),
        fc.array(word, { maxLength: 12 }),
        (stops, pieces) => {
          const text = pieces.join("");
          const whole = run(stops, [text]);
          expect({ ...run(stops, pieces), shown: [] }).toEqual({ ...whole, shown: [] });
          expect({ ...run(stops, [...text]), shown: [] }).toEqual({ ...whole, shown: [] });
          for (const stop of stops) expect(whole.text).not.toContain(stop);
          if (!whole.stopped) expect(whole.text).toBe(text);
          else expect(stops.some((stop) => text.startsWith(stop, whole.text.length))).toBe(true);
          // Nothing is withheld without need: what is held is the beginning of a stop string.
          const matcher = new StopMatcher(stops);
          let shown = "";
          for (const piece of pieces) {
            const result = matcher.push(piece);
            shown += result.text;
            if (result.stopped) return;
          }
          const held = text.slice(shown.length);
          expect(held === "" || stops.some((stop) => stop.startsWith(held) && stop !== held)).toBe(true);
        },
      ),
      { numRuns: 1000, seed: 20260106 },
    );
  });
});
