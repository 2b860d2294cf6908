import { describe, expect, it } from "vitest";
import { splitThought, ThoughtWriter, withoutThought } from "./thought.ts";

describe("splitThought", () => {
  it("parts what was thought from what is said", () => {
    expect(splitThought("<think>\nhm\n</think>\n\nYes.")).toEqual({ thought: "hm", answer: "Yes.", isOpen: false });
    expect(splitThought("hm</think>Yes.")).toEqual({ thought: "hm", answer: "Yes.", isOpen: false });
    expect(splitThought("<think>\n\n</think>\n\nYes.")).toEqual({ thought: "", answer: "Yes.", isOpen: false });
    expect(splitThought("Yes, 1 < 2.")).toEqual({ thought: "", answer: "Yes, 1 < 2.", isOpen: false });
  });

  it("knows a thought that goes on, from its first letter", () => {
    expect(splitThought("<think>\nso far")).toEqual({ thought: "so far", answer: "", isOpen: true });
    for (const text of ["<", "<thi"]) expect(splitThought(text)).toEqual({ thought: "", answer: "", isOpen: true });
    expect(splitThought("").isOpen).toBe(false);
  });

  it("leaves the words alone where an answer speaks of them", () => {
    const text = "Write <think> before and </think> after.";
    expect(splitThought(text)).toEqual({ thought: "", answer: text, isOpen: false });
    expect(withoutThought(text)).toBe(text);
  });
});

describe("ThoughtWriter", () => {
  it("puts a server's two texts into one", () => {
    const writer = new ThoughtWriter();
    const text = [
      ["h", ""],
      ["m", ""],
      ["", "Y"],
      ["", "es"],
    ]
      .map(([r, c]) => writer.write(r!, c!))
      .join("");
    expect(splitThought(text)).toEqual({ thought: "hm", answer: "Yes", isOpen: false });
  });
});
