/** @file Words of a paragraph: emphasis, code, links, mathematics. What models write as HTML is shown as they wrote it. */

import type { Token, Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { Formula } from "./formula.tsx";
import { isMath, safeAddress, withCharacters } from "./lex.ts";

export const Inline = ({ tokens }: { readonly tokens: readonly Token[] | undefined }) => (
  <>
    {tokens?.map((token, i) => (
      <InlineToken key={i} token={token} />
    ))}
  </>
);

function InlineToken({ token }: { readonly token: Token }): ComponentChildren {
  if (isMath(token)) return <Formula tex={token.text} isDisplay={token.isDisplay} />;
  switch (token.type) {
    case "strong":
      return (
        <strong>
          <Inline tokens={token.tokens} />
        </strong>
      );
    case "em":
      return (
        <em>
          <Inline tokens={token.tokens} />
        </em>
      );
    case "del":
      return (
        <del>
          <Inline tokens={token.tokens} />
        </del>
      );
    case "codespan":
      return <code dir="ltr">{(token as Tokens.Codespan).text}</code>;
    case "br":
      return "\n";
    case "link":
      return <Link token={token as Tokens.Link} />;
    case "image":
      return <Picture token={token as Tokens.Image} />;
    case "checkbox":
      return <input type="checkbox" checked={(token as Tokens.Checkbox).checked} disabled aria-label="Done" />;
    case "text":
      return token.tokens ? <Inline tokens={token.tokens} /> : withCharacters((token as Tokens.Text).text);
    case "escape":
      return (token as Tokens.Escape).text;
    default:
      return token.raw;
  }
}

function Link({ token: { href, tokens, raw } }: { readonly token: Tokens.Link }) {
  const address = safeAddress(href);
  if (!address) return <>{raw}</>;
  return (
    <a href={address} target="_blank" rel="noopener noreferrer">
      <Inline tokens={tokens} />
    </a>
  );
}

/** Pictures are not fetched, which would tell another server what is read here; they are links. */
function Picture({ token: { href, text, raw } }: { readonly token: Tokens.Image }) {
  const address = safeAddress(href);
  if (!address) return <>{raw}</>;
  return (
    <a href={address} target="_blank" rel="noopener noreferrer">
      {text || "picture"}
    </a>
  );
}
