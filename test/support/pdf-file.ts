/** @file Writes small PDF files: pages of text in a standard font, broken ones, and one that wants a password. */

export interface PdfOptions {
  /** Ask for a password that nobody has. */
  readonly isLocked?: boolean;
}

const WIDTH = 90;

/** A PDF with one page for each text; lines are broken after some 90 characters. */
export function writePdf(pages: readonly string[], { isLocked = false }: PdfOptions = {}): Uint8Array {
  const objects: string[] = [];
  const add = (body: string): number => objects.push(body);
  const first = 4;
  const kids = pages.map((_, i) => `${first + 2 * i} 0 R`).join(" ");
  add("<< /Type /Catalog /Pages 2 0 R >>");
  add(`<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`);
  add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
  for (const [i, text] of pages.entries()) {
    add(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents ${first + 2 * i + 1} 0 R >>`,
    );
    const lines = linesOf(text).map((line) => `(${line.replace(/[\\()]/g, "\\$&")}) '`);
    const content = `BT /F1 11 Tf 14 TL 60 740 Td ${lines.join("\n")} ET`;
    add(`<< /Length ${content.length} >>\nstream\n${content}\nendstream`);
  }
  const locked = isLocked ? add(encryption()) : 0;
  let file = "%PDF-1.4\n";
  const offsets = objects.map((body, i) => {
    const at = file.length;
    file += `${i + 1} 0 obj\n${body}\nendobj\n`;
    return at;
  });
  const table = file.length;
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`;
  file += offsets.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  const secret = locked ? ` /Encrypt ${locked} 0 R /ID [<00> <00>]` : "";
  file += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R${secret} >>\nstartxref\n${table}\n%%EOF\n`;
  return Uint8Array.from(file, (character) => character.charCodeAt(0));
}

function linesOf(text: string): string[] {
  return text.split("\n").flatMap((line) => line.match(new RegExp(`.{1,${WIDTH}}(?:\\s|$)|.{${WIDTH}}`, "g")) ?? [""]);
}

/** Keys that no password gives. */
const encryption = (): string =>
  `<< /Filter /Standard /V 1 /R 2 /P -4 /O <${"11".repeat(32)}> /U <${"22".repeat(32)}> >>`;
