/** @file The visible characters that stand for bytes in byte-level vocabularies: GPT-2's table. */

/** Of each byte. */
const BYTE_CHARACTERS: readonly string[] = makeTable();
export const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** Bytes that are visible in Latin-1 stand for themselves, the others come from U+0100 on. */
function makeTable(): string[] {
  const isVisible = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isVisible(byte) ? byte : 256 + others++));
}

const ENCODER = new TextEncoder();
/** ASCII without blanks and controls, which stands for itself. */
const PLAIN = /^[!-~]*$/;

export function byteCharacters(text: string): string {
  if (PLAIN.test(text)) return text;
  let characters = "";
  for (const byte of ENCODER.encode(text)) characters += BYTE_CHARACTERS[byte]!;
  return characters;
}
