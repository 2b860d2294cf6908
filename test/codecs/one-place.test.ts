/** @file Nothing but a codec takes the name of a type or the kind of a side apart: everybody else asks `codecOf`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isTest, ROOT, sourceFiles } from "../../tools/source-files.ts";

/** Types and kinds; f16 and f32 are types of weights and numbers as well. */
const NAMES = "q8_0|q4_0r|tq\\d?|kivi\\d?|float|scalar|trellis|sketch|block|channel";
const DECIDES = new RegExp(
  `[!=]==? ?["'\`](?:${NAMES})["'\`]|(?:startsWith|includes)\\(["'\`](?:${NAMES})|/\\^?\\(?\\^?(?:tq|kivi)[^/\\n]*/`,
);

it("no source beside src/quant/codecs compares with a type's name", () => {
  const found = sourceFiles("src", [".ts"])
    // In a chat template `float` is a filter.
    .filter((path) => !isTest(path) && !/^src\/(quant\/codecs|tokenizer)\//.test(path))
    .flatMap((path) =>
      readFileSync(join(ROOT, path), "utf8")
        .split("\n")
        .flatMap((line, i) => (DECIDES.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
    );
  expect(found).toEqual([]);
});

it.each(['if (type.startsWith("tq"))', 'side.kind === "scalar"', "/^tq-?[1-8]$/.exec(text)", "a !== 'q8_0'"])(
  "sees %s",
  (line) => {
    expect(DECIDES.test(line)).toBe(true);
  },
);
