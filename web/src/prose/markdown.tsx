/** @file Renders the Markdown that models write. Tokens become elements, and never HTML. */

import type { Token, Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { memo } from "../ui/memo.ts";
import { CodeBlock } from "./code-block.tsx";
import { Formula } from "./formula.tsx";
import { Inline } from "./inline.tsx";
import { isMath, lex } from "./lex.ts";

export function Markdown({ text }: { readonly text: string }) {
  const tokens = useMemo(() => lex(text), [text]);
  return (
    <div class="prose">
      <Blocks tokens={tokens} />
    </div>
  );
}

const Blocks = ({ tokens }: { readonly tokens: readonly Token[] }) => (
  <>
    {tokens.map((token, i) => (
      <Block key={i} token={token} />
    ))}
  </>
);

/** Of an answer that grows, only the last block is rendered again. */
const Block = memo(
  ({ token }: { readonly token: Token }) => <BlockOf token={token} />,
  ({ token: before }, { token: after }) => before.type === after.type && before.raw === after.raw,
);

function BlockOf({ token }: { readonly token: Token }): ComponentChildren {
  if (isMath(token)) {
    return (
      <p>
        <Formula tex={token.text} isDisplay />
      </p>
    );
  }
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code": {
      const { text, lang = "" } = token as Tokens.Code;
      return <CodeBlock text={text} language={lang.split(/\s/)[0]!.toLowerCase()} />;
    }
    case "heading":
      return (
        <h3 dir="auto" class={`heading-${(token as Tokens.Heading).depth}`}>
          <Inline tokens={token.tokens} />
        </h3>
      );
    case "hr":
      return <hr />;
    case "blockquote":
      return (
        <blockquote dir="auto">
          <Blocks tokens={token.tokens ?? []} />
        </blockquote>
      );
    case "list":
      return <List list={token as Tokens.List} />;
    case "table":
      return <Table table={token as Tokens.Table} />;
    case "paragraph":
    case "text":
      return (
        <p dir="auto">
          <Inline tokens={token.tokens ?? [token]} />
        </p>
      );
    default:
      return <p dir="auto">{token.raw.trim()}</p>;
  }
}

function List({ list: { ordered, start, items } }: { readonly list: Tokens.List }) {
  const rows = items.map((item, i) => (
    <li key={i} class={item.task ? "task" : undefined}>
      {/* Text of an item is no paragraph of its own, unless blank lines are between the items. */}
      {item.tokens.map((token, j) =>
        token.type === "text" || token.type === "checkbox" ? (
          <Inline key={j} tokens={[token]} />
        ) : (
          <Block key={j} token={token} />
        ),
      )}
    </li>
  ));
  return ordered ? (
    <ol dir="auto" start={start === "" ? 1 : start}>
      {rows}
    </ol>
  ) : (
    <ul dir="auto">{rows}</ul>
  );
}

function Table({ table: { header, rows, align } }: { readonly table: Tokens.Table }) {
  const cellStyle = (column: number) => (align[column] ? { textAlign: align[column] } : undefined);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, and keys must be able to
    <section class="prose-table" tabIndex={0} aria-label="Table">
      <table dir="auto">
        <thead>
          <tr>
            {header.map(({ tokens }, i) => (
              <th key={i} scope="col" style={cellStyle(i)}>
                <Inline tokens={tokens} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map(({ tokens }, j) => (
                <td key={j} style={cellStyle(j)}>
                  <Inline tokens={tokens} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
