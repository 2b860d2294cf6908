/** @file Answers of the page's engine that do not come to their end before a test lets them, however slow the browser is beside them. */
import type { BrowserContext, Page } from "playwright-core";

/** Pieces of an answer that come at once: enough for a few words. */
const PIECES = 30;

/** In the page: what a worker says of an answer waits behind `pieces` pieces of text, with all that it says of it after them. */
function holdAnswers(pieces: number): void {
  interface Said {
    readonly id?: number;
    readonly event?: { readonly type?: string };
  }
  const page = window as unknown as { letPiecesCome: (count: number) => void };
  const waiting: { readonly isPiece: boolean; readonly id: number | undefined; readonly deliver: () => void }[] = [];
  let left = pieces;
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

/** For pages that are opened after it. */
export const holdAnswersOf = async (context: BrowserContext): Promise<void> => {
  await context.addInitScript(holdAnswers, PIECES);
};

/** Lets so many more pieces of text come; all without a number. */
export const letPiecesCome = (page: Page, count: number = Number.MAX_SAFE_INTEGER): Promise<void> =>
  page.evaluate((more) => (window as unknown as { letPiecesCome: (count: number) => void }).letPiecesCome(more), count);
