/** @file Answers of the page's engine that do not come to their end before a test lets them, however slow the browser is beside them. */
import type { BrowserContext, Page } from "playwright-core";

/** Pieces of an answer that come at once: enough for a few words. */
const PIECES = 30;

interface CountedPage {
  holdAnswers(pieces: number): void;
  letPiecesCome(count: number): void;
}

/** In the page: once pieces of text are counted, what a worker says of an answer waits behind so many, with all that it says of it after them. */
function countPieces(): void {
  interface Said {
    readonly id?: number;
    readonly event?: { readonly type?: string };
  }
  const page = window as unknown as CountedPage;
  const waiting: { readonly isPiece: boolean; readonly id: number | undefined; readonly deliver: () => void }[] = [];
  let left = Number.POSITIVE_INFINITY;
  page.holdAnswers = (pieces) => {
    left = pieces;
  };
  const isPieceOf = ({ event }: Said): boolean => event?.type === "text";
  page.letPiecesCome = (count) => {
    left += count;
    while (waiting[0] && (!waiting[0].isPiece || left > 0)) {
      const { isPiece, deliver } = waiting.shift()!;
      if (isPiece) left--;
      deliver();
    }
  };
  const { set } = Object.getOwnPropertyDescriptor(Worker.prototype, "onmessage")!;
  Object.defineProperty(Worker.prototype, "onmessage", {
    set(this: Worker, listen: (event: MessageEvent<Said>) => void) {
      set!.call(this, (event: MessageEvent<Said>) => {
        const { id } = event.data;
        const isPiece = isPieceOf(event.data);
        const isBehind = waiting.some((one) => one.id === id);
        if (isBehind || (isPiece && left === 0)) waiting.push({ isPiece, id, deliver: () => listen(event) });
        else {
          if (isPiece) left--;
          listen(event);
        }
      });
    },
  });
}

/** For pages that are opened after it; until `holdAnswers`, answers come as they are written. */
export const countPiecesOf = async (context: BrowserContext): Promise<void> => {
  await context.addInitScript(countPieces);
};

/** Of answers that are asked for after it a few words come, in this page and until it is loaded again, and the rest waits for `letPiecesCome`. */
export const holdAnswers = (page: Page): Promise<void> =>
  page.evaluate((pieces) => (window as unknown as CountedPage).holdAnswers(pieces), PIECES);

/** Lets so many more pieces of text come; all, and those of later answers, without a number. */
export const letPiecesCome = (page: Page, count: number = Number.POSITIVE_INFINITY): Promise<void> =>
  page.evaluate((more) => (window as unknown as CountedPage).letPiecesCome(more), count);
