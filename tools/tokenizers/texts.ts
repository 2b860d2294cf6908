/** @file Texts that tokenizers are compared on, and lists of ids to decode. */

const SCRIPTS = [
  "The quick brown fox jumps over the lazy dog. It's 3:45 PM, isn't it? I'LL SAY so, we've 'tis.",
  "Größe, naïve café, ﬁn, İstanbul, ſtraße, Ǆ, Œuvre; ½ ² ③ Ⅷ ㎏",
  "Съешь же ещё этих мягких французских булок, да выпей чаю.",
  "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία — ΣΊΣΥΦΟΣ",
  "春眠不覺曉,處處聞啼鳥。夜来风雨声，花落知多少？",
  "いろはにほへと ちりぬるを カタカナ ｶﾀｶﾅ 東京都！",
  "다람쥐 헌 쳇바퀴에 타고파. 한글\u1112\u1161\u11ab",
  "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ، ١٢٣",
  "דג סקרן שט בים מאוכזב",
  "नमस्ते दुनिया, क्षत्रिय १२३४",
  "สวัสดีชาวโลก ภาษาไทย",
  "வணக்கம் உலகம் తెలుగు ಕನ್ನಡ മലയാളം",
  "Tiếng Việt có dấu: ặ ễ ử; e\u0301 a\u0308 n\u0303 (decomposed)",
  "🙂 👩‍👩‍👧‍👦 🇨🇭 🏳️‍🌈 👍🏽 ❤️ ☃ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀 𠜎",
];

const SPACES = [
  "",
  " ",
  "  ",
  "\n",
  "\t",
  " a",
  "a ",
  "  a  b   c    ",
  "a\n\nb\r\nc\rd\n\n\n",
  "\t\tindented\n    four\n\ttab \n \n",
  "a\u00a0b\u2003c\u3000d\u200be\u200df\ufeffg\u0085h\u2028i",
  "▁a ▁▁ b▁",
];

const CODE = [
  'def f(x: int) -> str:\n    return f"{x!r:>10}" if x else None  # done\n',
  "for (let i = 0; i < n; ++i) { a[i] += b['key'] ?? c?.d; } // ok\n\t\treturn;",
  "SELECT * FROM t WHERE a >= 1.5e-10 AND b <> 'it''s' -- x\n",
  "https://example.org/a/b?c=d&e=%20f#g user@example.com C:\\dir\\file.txt",
  '<div class="a">&lt;b&gt;</div> <!-- c --> $x^2_{i+1}$ \\frac{1}{2}',
  "1 12 123 1234 12345 1234567890 0.1 1,000,000 0xFF 1e10 ٣٤٥ 二十",
  "camelCase PascalCase snake_case SCREAMING_CASE kebab-case HTTPServer iOS x86_64",
  "!!! ... ?!?! --- ==> /* */ ((())) {}[] <<>> @@ ## $$ %% ^^ && ~~ `` \"\" '' “”‘’ … — ¿¡ 。、",
];

const EDGES = [
  "\0a\x01b\x1fc\x7f",
  "a".repeat(300),
  " ".repeat(70),
  "\n".repeat(40),
  "ab ".repeat(60),
  "\ufffd \ufffe",
  "ﷺ ẞ ß ŉ ΐ ﬀ",
  "K k S ſ 'S 'ſ 'LL 'Ve 'K",
];

/** Words around a token, to see what it takes and where it is found. */
export function aroundToken(token: string): string[] {
  return [token, `a${token}b`, `a ${token} b`, ` \n${token}\t c`, `${token}${token} ${token}`, token.slice(0, -1)];
}

export const TEXTS: readonly string[] = [
  "Hello, world!",
  ...SPACES,
  ...SCRIPTS,
  ...CODE,
  ...EDGES,
  [...SCRIPTS, ...CODE].join("\n\n"),
];

/** Lists of ids drawn at random, which no text gives: bytes without their others, markers in the middle. */
export function randomIds(vocabSize: number, count: number): number[][] {
  let state = 12345;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + next(12) }, () => next(next(2) === 0 ? Math.min(600, vocabSize) : vocabSize)),
  );
}
