import { describe, expect, it } from "vitest";
import { type ChatMessage, ChatTemplate } from "./chat-template.ts";

const ask: ChatMessage[] = [{ role: "user", content: "hi" }];
const template = (source: unknown, variables = {}) => ChatTemplate.from(source, variables, "m")!;

describe("ChatTemplate", () => {
  it("gives templates the special tokens, the tools and variables of their own", async () => {
    const source =
      "{{ bos_token }}{{ messages[0].content }}|{{ tools | length if tools else 'none' }}|{{ mood }}|{{ add_generation_prompt }}";
    const t = template(source, { bos_token: "<s>" });
    expect(await t.render(ask)).toBe("<s>hi|none||False");
    expect(await t.render(ask, { tools: [] })).toBe("<s>hi|none||False");
    expect(await t.render(ask, { tools: [{}], variables: { mood: "merry" }, addGenerationPrompt: true })).toBe(
      "<s>hi|1|merry|True",
    );
  });

  it("trims blocks as Transformers does", async () => {
    expect(
      await template("{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\nend").render(
        ask,
      ),
    ).toBe("user\nend");
  });

  it("a role that a template passes over is refused, where its words would be lost", async () => {
    const known = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    const messages = [...ask, { role: "robot", content: "beep" }];
    await expect(template(known).render(messages)).rejects.toThrow(
      /message 1: the template of m leaves out what the role "robot" says/,
    );
    expect(
      await template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}").render(messages),
    ).toContain("robot: beep");
    expect(await template(known).render([...ask, { role: "tool", content: "left out on purpose" }])).toBe("hi");
    await expect(template(known).render(ask, { add_generation_prompt: true } as object)).rejects.toThrow(
      "chat template: unknown option add_generation_prompt; did you mean addGenerationPrompt?",
    );
    await expect(template(known).render("hi" as never)).rejects.toThrow(/got a text; pass \[\{ role: "user"/);
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

  it("takes documents and special tokens among the variables, and refuses what has a parameter of its own", async () => {
    const documents = "{% for d in documents or [] %}[{{ d.title }}]{% endfor %}{{ bos_token }}";
    const t = template(documents, { bos_token: "<s>" });
    expect(await t.render(ask, { variables: { documents: [{ title: "D1" }], bos_token: "<b>" } })).toBe("[D1]<b>");
    for (const name of ["messages", "tools", "add_generation_prompt"]) {
      await expect(t.render(ask, { variables: { [name]: [] } })).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringContaining(`template variable ${name}`),
      });
    }
  });

  it("hands arguments of tool calls on as objects, and as text to templates that join them to text", async () => {
    const call = (args: string | object | null): ChatMessage[] => [
      ...ask,
      {
        role: "assistant",
        content: null,
        tool_calls: [{ function: { name: "f", arguments: args as Record<string, unknown> } }],
      },
    ];
    const object = template("{{ messages[1].tool_calls[0].function.arguments | tojson }}");
    expect(await object.render(call('{"town":"Bern"}'))).toBe('{"town": "Bern"}');
    expect(await object.render(call({ town: "Bern" }))).toBe('{"town": "Bern"}');
    expect(await object.render(call('{"a": 1.0, "b": "1.0", "c": [12345678901234567890, 1e2]}'))).toBe(
      '{"a": 1.0, "b": "1.0", "c": [12345678901234567890, 100.0]}',
    );
    expect(await object.render(call("no {json"))).toBe('"no {json"');
    for (const none of [null, "", " "]) expect(await object.render(call(none))).toBe("{}");
    const text = template("{{ 'x' + messages[1].tool_calls[0].function.arguments }}");
    expect(await text.render(call('{"town":"Bern"}'))).toBe('x{"town":"Bern"}');
    expect(await text.render(call({ town: "Bern" }))).toBe('x{"town": "Bern"}');
    await expect(text.render(call("{"))).resolves.toBe("x{");
    expect(await text.render(call(null))).toBe("x{}");
  });

  it.each<[string, string]>([
    ["a range", "{% for i in range(1000000000) %}{{ i }}{% endfor %}"],
    ["text", "{{ 'a' * 1000000000 }}"],
    ["a width", "{{ '%1000000000d' % 1 }}"],
    ["doubled text", "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}"],
    [
      "lists in lists",
      "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    ],
    ["recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    [
      "a deep value",
      "{% set n = namespace(x=1) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
    ],
  ])("ends with one error for a template that makes too much: %s", async (_, source) => {
    await expect(template(source).render(ask)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("does more for these messages than a prompt may take"),
    });
  });

  it.each([
    ["{{ 1 | nosuch }}", "the filter nosuch does not exist"],
    ["{{ 1 | pprint }}", "the filter pprint is not supported"],
    ["{{ 1 is nosuch }}", "the test nosuch does not exist"],
    ["{{ messages.append(1) }}", "the method list.append is not open to templates"],
    ["{% include 'x' %}", "the statement include is not supported"],
    [`{{ ${"(".repeat(3000)}1${")".repeat(3000)} }}`, "nested more than"],
  ])("names what is not here: %s", async (source, what) => {
    await expect(template(source).render(ask)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(what),
    });
  });
});
