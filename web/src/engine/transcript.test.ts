import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../src/tokenizer/chat-template.ts";
import { type Frame, frameOf, parseTranscript } from "./transcript.ts";

const TEMPLATE =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** A tokenizer as far as a frame needs one. */
function tokenizerWith(template: string | null) {
  const chatTemplate = template === null ? null : ChatTemplate.from(template, {}, "test");
  return {
    chatTemplate,
    applyChatTemplate: (messages: never, options: never) => chatTemplate!.render(messages, options),
  } as unknown as Parameters<typeof frameOf>[0];
}

const frame = (await frameOf(tokenizerWith(TEMPLATE))) as Frame;

describe("a transcript from tokens", () => {
  it("learns from the template what stands between messages", () => {
    expect(frame).toEqual({
      start: "<|im_start|>user\n",
      toAnswer: "<|im_end|>\n<|im_start|>assistant\n",
      toUser: "<|im_end|>\n<|im_start|>user\n",
      system: ["<|im_start|>system\n", "<|im_end|>\n<|im_start|>user\n"],
    });
  });

  it("reads the messages back, with and without a system message, ended or cut", async () => {
    const turns = [
      { role: "user" as const, text: "Hello\nthere" },
      { role: "assistant" as const, text: "Hi." },
      { role: "user" as const, text: "And?" },
      { role: "assistant" as const, text: "Well" },
    ];
    const tokenizer = tokenizerWith(TEMPLATE);
    for (const system of ["", "Be brief."]) {
      const messages = [
        ...(system ? [{ role: "system", content: system }] : []),
        ...turns.map(({ role, text }) => ({ role, content: text })),
      ];
      const whole = await tokenizer.applyChatTemplate(messages);
      // Generation ends with the end marker, without the line break after it, or anywhere.
      for (const cut of [1, "<|im_end|>\n".length]) {
        expect(parseTranscript(whole.slice(0, -cut), frame)).toEqual({ system, messages: turns });
      }
    }
  });

  it("gives up on text of another template", () => {
    expect(parseTranscript("[INST] hello [/INST]", frame)).toBeNull();
  });

  it("knows no frame without a template, or with one that rewrites messages", async () => {
    expect(await frameOf(tokenizerWith(null))).toBeNull();
    expect(await frameOf(tokenizerWith("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"))).toBeNull();
  });
});
