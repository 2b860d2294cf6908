/** @file Renders the markdown that models write: paragraphs, headings, lists, code, emphasis. The text becomes elements, never HTML. */
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

type Block =
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "heading"; readonly text: string }
  | { readonly kind: "list"; readonly ordered: boolean; readonly items: readonly string[] }
  | { readonly kind: "paragraph"; readonly text: string };

const FENCE = /^\s*```/;
const HEADING = /^#{1,6}\s+(.*)$/;
const ITEM = /^\s*(?:([-*+])|\d{1,3}[.)])\s+(.*)$/;

/** Text arrives token by token, so a code fence without an end contains everything after it. */
export function parseBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const endParagraph = (): void => {
    if (paragraph.length > 0) blocks.push({ kind: "paragraph", text: paragraph.join("\n") });
    paragraph = [];
  };
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (FENCE.test(line)) {
      endParagraph();
      const code: string[] = [];
      while (++i < lines.length && !FENCE.test(lines[i]!)) code.push(lines[i]!);
      blocks.push({ kind: "code", text: code.join("\n") });
      continue;
    }
    const heading = HEADING.exec(line);
    const item = ITEM.exec(line);
    if (heading) {
      endParagraph();
      blocks.push({ kind: "heading", text: heading[1]! });
    } else if (item) {
      endParagraph();
      const ordered = item[1] === undefined;
      const before = blocks.at(-1);
      if (before?.kind === "list" && before.ordered === ordered) {
        blocks[blocks.length - 1] = { ...before, items: [...before.items, item[2]!] };
      } else blocks.push({ kind: "list", ordered, items: [item[2]!] });
    } else if (line.trim() === "") endParagraph();
    else paragraph.push(line);
  }
  endParagraph();
  return blocks;
}

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|(?<![\w*])\*([^\s*](?:[^*]*[^\s*])?)\*(?![\w*])/gs;

function inline(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, , code, strong, emphasis] = match;
    parts.push(text.slice(end, match.index));
    if (code !== undefined) parts.push(<code>{code}</code>);
    else if (strong !== undefined) parts.push(<strong>{strong}</strong>);
    else parts.push(<em>{emphasis}</em>);
    end = match.index + whole.length;
  }
  parts.push(text.slice(end));
  return parts;
}

function BlockView({ block }: { readonly block: Block }) {
  switch (block.kind) {
    case "code":
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, and keys must be able to
        <pre tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case "heading":
      return <h4>{inline(block.text)}</h4>;
    case "list": {
      const items = block.items.map((item, i) => <li key={i}>{inline(item)}</li>);
      return block.ordered ? <ol>{items}</ol> : <ul>{items}</ul>;
    }
    case "paragraph":
      return <p>{inline(block.text)}</p>;
  }
}

export function Markdown({ text }: { readonly text: string }) {
  // Only the answer that grows is parsed again.
  return useMemo(() => <Blocks text={text} />, [text]);
}

function Blocks({ text }: { readonly text: string }) {
  return (
    <div class="prose">
      {parseBlocks(text).map((block, i) => (
        <BlockView key={i} block={block} />
      ))}
    </div>
  );
}
