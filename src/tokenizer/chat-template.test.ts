import { describe, expect, it } from "vitest";
import { type ChatMessage, ChatTemplate } from "./chat-template.ts";

const ask: ChatMessage[] = [{ role: "user", content: "hi" }];
const template = (source: unknown, variables = {}) => ChatTemplate.from(source, variables, "m")!;

describe("ChatTemplate", () => {
  it("gives templates the special tokens, the tools and variables of their own", async () => {
    const source =
      "{{ bos_token }}{{ messages[0].content }}|{{ tools | length if tools else 'none' }}|{{ mood }}|{{ add_generation_prompt }}";
    const t = template(source, { bos_token: "<s>" });
    expect(await t.render(ask)).toBe("<s>hi|none||false");
    expect(await t.render(ask, { tools: [] })).toBe("<s>hi|none||false");
    expect(await t.render(ask, { tools: [{}], variables: { mood: "merry" }, addGenerationPrompt: true })).toBe(
      "<s>hi|1|merry|true",
    );
  });

  it("trims blocks as Transformers does", async () => {
    expect(
      await template("{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\nend").render(
        ask,
      ),
    ).toBe("user\nend");
  });

  it("chooses among named templates", async () => {
    const t = template([
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools" },
    ]);
    expect(await t.render(ask)).toBe("plain");
    expect(await t.render(ask, { tools: [{}] })).toBe("tools");
    expect(await template([{ name: "rag", template: "only" }]).render(ask)).toBe("only");
    expect(ChatTemplate.from(undefined, {}, "m")).toBeNull();
    expect(ChatTemplate.from([], {}, "m")).toBeNull();
  });

  it("explains a malformed template and messages that it refuses", async () => {
    expect(() => template([{ name: "x" }])).toThrow(/chat_template: expected a string or a list/);
    expect(() => template({ a: 1 })).toThrow(/chat_template: expected a string or a list/);
    await expect(template("{% if %}").render(ask)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("cannot be compiled"),
    });
    await expect(template("{{ raise_exception('roles must alternate') }}").render(ask)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/roles must alternate/),
    });
    await expect(template("x").render([])).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(template("x").render([{ content: "no role" } as unknown as ChatMessage])).rejects.toMatchObject({
      message: expect.stringContaining("message 0: expected {role, content}"),
    });
  });
});
