/**
 * @file The one way in which tokens are made: rows of sequences become a step of the model, and each row's next token is drawn.
 *
 * How it works. A client (a session, the scheduler, beam search) hands over spans: a row, which is a sequence with its tokens
 * and how the next one is drawn, and how many of its tokens to feed. The step is laid out, its sequences reserve their pages,
 * the model runs, and the sequences commit; when anything fails they are as before. The client gets one outcome a row, and
 * names the rows of the next step as it likes: others, forks of them, fewer.
 *
 * Where a token is drawn is decided by the row alone, never by its company, so that a request gets the same tokens alone and
 * among others:
 *
 * - on the device, when the backend can draw as the row asks for. Rows that draw alike share a stream, and nothing but their
 *   tokens comes back;
 * - on the host for the first token of an answer, and where penalties, biases, reports of likely tokens or a constraint need
 *   the logits. Only the logits of these rows are read back;
 * - nowhere, where the client chooses by itself: beam search gets the logits of its beams.
 *
 * When all rows of a step are single tokens that draw alike on the device, up to three steps are in flight: step n + 1
 * takes its tokens from the device before the host knows them. A token joins its sequence when it has arrived. Steps ahead
 * write to positions that are reserved only, so the window's 16-bit pages stay until no step can need them, and steps that
 * turn out to be too many leave nothing behind. Any other step is in flight alone.
 *
 * A row may have drafts, tokens that somebody guesses to follow it. They are rows of the same step, and the outcome says what is drawn behind
 * each; the client draws token by token and asks on (`DraftedRows.follow`) while these are the ones that were guessed. A step that memory is
 * too short for is made once more without drafts, before anybody gives up anything for it.
 */
import type { Buf, Step } from "../../backends/ops.ts";
import { STEPS_IN_FLIGHT } from "../../backends/planner.ts";
import type { DeviceSample, Draw, TokenStream } from "../../backends/sampling-ops.ts";
import type { Sequence } from "../../cache/sequence.ts";
import { assert, TurboQuantError } from "../../errors.ts";
import type { LogitRows, PrefillOptions, Runner, Work } from "../runner.ts";
import { DraftedRows, type DrawnRow } from "../speculation/drafted-rows.ts";

const NO_ROWS = new Float32Array(0);

/** How the next tokens of a row are drawn. */
export interface RowDraw {
  /** null when the host needs the logits, from which `Continuation.next` draws. */
  readonly draw: Draw | null;
  /** Number of tokens drawn so far. */
  readonly completionTokens: number;
  /** The random number in [0, 1) for the n-th draw, counted from 0. */
  uniform(n: number): number;
  /** How many more tokens may follow `length` tokens. */
  left(length: number): number;
}

export interface LoopRow {
  /** All tokens; those that are to be fed are not in the sequence yet. */
  readonly tokens: readonly number[];
  readonly sequence: Sequence | null;
  /** null when the caller chooses the next token from the logits, as in beam search. */
  readonly continuation: RowDraw | null;
}

export interface StepSpan<Row extends LoopRow = LoopRow> {
  readonly row: Row;
  /** Number of tokens to feed, from the end of the row's sequence on. */
  readonly count: number;
  /**
   * Tokens that may follow the row's last one, which is fed alone (`count` is 1). An empty list has no drafts, and keeps steps from being in
   * flight, so that the next one can have some.
   */
  readonly drafts?: readonly number[];
  readonly logits: LogitRows;
  /** Whether the rows are wanted as the head reads them, in place of their logits. */
  readonly isHidden?: boolean;
  /** Length of the prompt that the tokens are part of (`Span.knownLength`). Default: that of all tokens. */
  readonly promptLength?: number;
  readonly onPageEnd?: Work["onPageEnd"];
}

export interface StepOutcome<Row extends LoopRow = LoopRow> {
  readonly row: Row;
  /** [requested rows][vocabSize]; empty when the token was drawn on the device. */
  readonly logits: Float32Array;
  /** [requested rows][hiddenSize] of a span that asked for these; empty for others. */
  readonly hidden: Float32Array;
  readonly sample: DeviceSample | null;
  /** null where the row had no drafts. Valid until the next step. */
  readonly drafted: DraftedRows | null;
}

export class StepLoop<Row extends LoopRow = LoopRow> {
  readonly #runner: Runner;
  readonly #onFull: () => boolean;
  /** Streams by the way they draw; null where the backend cannot. A stream is closed when no row of a step uses it. */
  readonly #streams = new Map<string, TokenStream | null>();
  readonly #inFlight: Promise<readonly DeviceSample[]>[] = [];
  /** Rows of the steps in flight, and those of them that have ended since. */
  #rows: readonly Row[] = [];
  #stream: TokenStream | null = null;
  readonly #ended = new Set<Row>();
  /** Drafts of the latest step, some of which may not be followed yet. */
  readonly #drafted = new Map<Row, DraftedRows>();
  #takesDrafts = true;

  /** onFull: called to make room for the pages of steps ahead; returns false when it cannot */
  constructor(runner: Runner, onFull: () => boolean = () => false) {
    this.#runner = runner;
    this.#onFull = onFull;
  }

  /** Rows of the steps in flight; empty when there are none. */
  get ahead(): readonly Row[] {
    return this.#inFlight.length > 0 ? this.#rows : [];
  }

  /** Whether drafts are of use: false from a step on that memory was too short for with them, until the loop is closed. */
  get takesDrafts(): boolean {
    return this.#takesDrafts;
  }

  /** Whether the tokens of this row, except the first, are drawn on the device. */
  drawsOnDevice({ continuation }: LoopRow): boolean {
    const draw = continuation?.draw;
    return draw ? this.#streamFor(draw, 0) !== null : false;
  }

  /**
   * Feeds the tokens of a row that its sequence does not hold yet, chunk by chunk. No step may be in flight.
   * returns: logits [vocabSize] of the last token
   * @throws TurboQuantError as `step`; the reason of `signal` when it is aborted. Completed chunks stay in the sequence.
   */
  prefill({ tokens, sequence }: Row, options: Omit<PrefillOptions, "logits" | "onLogits"> = {}): Promise<Float32Array> {
    assert(this.#inFlight.length === 0, "a prompt is read while steps are in flight");
    return this.#runner.prefill(sequence!, tokens.slice(sequence!.length), options);
  }

  /**
   * Runs a step while none is in flight, and may begin further ones. returns: outcomes in the order of the spans
   * @throws TurboQuantError out_of_memory — no room for the step, even without drafts; any error of the backend. No sequence has advanced.
   */
  async step(spans: readonly StepSpan<Row>[]): Promise<StepOutcome<Row>[]> {
    try {
      return await this.#step(spans);
    } catch (error) {
      const hasDrafts = spans.some(({ drafts = [] }) => drafts.length > 0);
      if (!hasDrafts || !(error instanceof TurboQuantError && error.code === "out_of_memory")) throw error;
      this.#takesDrafts = false;
      return this.#step(spans.map(({ drafts: _, ...span }) => span));
    }
  }

  async #step(spans: readonly StepSpan<Row>[]): Promise<StepOutcome<Row>[]> {
    assert(this.#inFlight.length === 0, "a step while others are in flight");
    this.#dropDrafts();
    const groups = this.#groups(spans);
    this.#closeOthers(groups);
    const [alike] = groups.values();
    if (
      alike?.length === spans.length &&
      groups.size === 1 &&
      spans.every(({ count, drafts }) => count === 1 && !drafts)
    ) {
      this.#rows = spans.map(({ row }) => row);
      [this.#stream] = [...groups.keys()].map((key) => this.#streams.get(key)!) as [TokenStream];
      return this.next(true);
    }
    return this.#single(spans, groups);
  }

  /**
   * The tokens of the oldest step in flight, for the rows that have not ended.
   * goesOn: whether to begin further steps of these rows
   * @throws as `step`; the steps in flight are dropped
   */
  async next(goesOn: boolean): Promise<StepOutcome<Row>[]> {
    try {
      if (goesOn) this.#fill();
      const samples = (await this.#inFlight.shift())!;
      const outcomes: StepOutcome<Row>[] = [];
      for (const [i, row] of this.#rows.entries()) {
        if (this.#ended.has(row)) continue;
        row.sequence!.commit(1, this.#runner.decoder.ropeLength(row.sequence!.length + 1));
        outcomes.push({ row, logits: NO_ROWS, hidden: NO_ROWS, sample: samples[i]!, drafted: null });
      }
      if (this.#inFlight.length === 0) this.cancel();
      return outcomes;
    } catch (error) {
      this.cancel();
      throw error;
    }
  }

  /** Ends a row or takes its sequence away; its part of the steps in flight is dropped. */
  end(row: Row): void {
    this.#drafted.get(row)?.drop();
    if (!this.#rows.includes(row) || this.#ended.has(row)) return;
    this.#ended.add(row);
    row.sequence?.dropReserved();
  }

  /** Drops all steps in flight. The device may still be computing them; later work is queued behind them. */
  cancel(): void {
    this.#dropDrafts();
    this.#inFlight.length = 0;
    for (const row of this.#rows) if (!this.#ended.has(row)) row.sequence?.dropReserved();
    this.#rows = [];
    this.#ended.clear();
  }

  /** Idempotent; a closed loop can be used again. */
  close(): void {
    this.cancel();
    for (const stream of this.#streams.values()) stream?.close();
    this.#streams.clear();
    this.#takesDrafts = true;
  }

  #dropDrafts(): void {
    for (const drafted of this.#drafted.values()) drafted.drop();
    this.#drafted.clear();
  }

  /** Begins steps until enough are in flight. */
  #fill(): void {
    let left = STEPS_IN_FLIGHT;
    for (const { tokens, continuation } of this.#rows) left = Math.min(left, continuation!.left(tokens.length));
    // At least one step is begun, so that there is a result to wait for.
    while (this.#inFlight.length < Math.max(1, left)) if (!this.#launch()) break;
  }

  /** Queues one more step; with nothing in flight, the host knows its tokens. returns: false when there is no room for a step ahead */
  #launch(): boolean {
    const ahead = this.#inFlight.length;
    try {
      for (const { sequence } of this.#rows) this.#reserve(sequence!, ahead);
    } catch (error) {
      // The rows may end before this step would be needed.
      if (ahead > 0 && error instanceof TurboQuantError && error.code === "out_of_memory") return false;
      throw error;
    }
    const { length } = this.#rows;
    const step: Step = {
      tokens: Int32Array.from(this.#rows, ({ tokens }) => (ahead === 0 ? tokens.at(-1)! : 0)),
      positions: Int32Array.from(this.#rows, ({ sequence }) => sequence!.length + ahead),
      spans: this.#rows.map(({ sequence }, row) => ({
        sequence: sequence!,
        start: sequence!.length + ahead,
        count: 1,
        row,
      })),
      logitRows: Int32Array.from({ length }, (_, row) => row),
      ...(ahead > 0 && { tokensFrom: this.#stream! }),
    };
    const logits = this.#runner.decoder.queue(step)!;
    const uniforms = this.#rows.map(({ continuation }) =>
      continuation!.uniform(continuation!.completionTokens + ahead),
    );
    const arrival = this.#stream!.sample(logits, length, uniforms);
    // The error is thrown where the token is awaited, which may never happen.
    arrival.catch(() => {});
    this.#inFlight.push(arrival);
    return true;
  }

  #reserve(sequence: Sequence, ahead: number): void {
    for (;;) {
      try {
        sequence.reserve(ahead + 1);
        return;
      } catch (error) {
        const isFull = error instanceof TurboQuantError && error.code === "out_of_memory";
        if (ahead === 0 || !isFull || !this.#onFull()) throw error;
      }
    }
  }

  /** Runs a step of any rows: first come the logits that the host reads, then those of each stream, then rows without logits. */
  async #single(
    spans: readonly StepSpan<Row>[],
    groups: ReadonlyMap<string, readonly number[]>,
  ): Promise<StepOutcome<Row>[]> {
    const { decoder } = this.#runner;
    const { vocabSize, hiddenSize } = decoder.config;
    const works = spans.map(({ row, count, drafts = [], logits, isHidden, promptLength, onPageEnd }): Work => {
      const { sequence, tokens } = row;
      const at = sequence!.length;
      assert(drafts.length === 0 || (count === 1 && logits === "last"), "drafts behind a piece of a prompt");
      return {
        sequence: sequence!,
        tokens: [...tokens.slice(at, at + count), ...drafts],
        reserved: drafts.length,
        logits: drafts.length > 0 ? "all" : logits,
        isHidden,
        knownLength: promptLength ?? tokens.length,
        ...(onPageEnd && { onPageEnd }),
      };
    });
    const onDevice = new Set([...groups.values()].flat());
    const others = works.map((_, i) => i).filter((i) => !onDevice.has(i));
    const onHost = others.filter((i) => !works[i]!.isHidden);
    const hidden = others.filter((i) => works[i]!.isHidden);
    const rowsOf = ({ logits, tokens }: Work): number => (logits === "all" ? tokens.length : logits === "last" ? 1 : 0);
    const hostRows = onHost.reduce((sum, i) => sum + rowsOf(works[i]!), 0);
    /** Of each span drawn on the device, those of its rows. */
    const samples: DeviceSample[][] = [];
    let hiddenValues: Float32Array = NO_ROWS;
    const read = async (logits: Buf | null, step: Step): Promise<Float32Array> => {
      let firstRow = hostRows;
      const arrivals = [...groups].map(([key, indices]) => {
        const uniforms = indices.flatMap((i) => {
          const continuation = spans[i]!.row.continuation!;
          const first = continuation.completionTokens;
          return Array.from({ length: rowsOf(works[i]!) }, (_, n) => continuation.uniform(first + n));
        });
        const arrival = this.#streams.get(key)!.sample(logits!, uniforms.length, uniforms, firstRow);
        arrival.catch(() => {});
        firstRow += uniforms.length;
        return arrival;
      });
      const values = hostRows > 0 ? await decoder.ops.readback(logits!, hostRows * vocabSize) : NO_ROWS;
      if (step.hiddenRows) hiddenValues = await decoder.readHidden(step);
      const drawn = await Promise.all(arrivals);
      for (const [group, indices] of [...groups.values()].entries()) {
        let at = 0;
        for (const i of indices) samples[i] = drawn[group]!.slice(at, (at += rowsOf(works[i]!)));
      }
      return values;
    };
    const values = await this.#runner.run(works, read, [...onHost, ...[...groups.values()].flat(), ...hidden]);
    const shared = (all: Float32Array, indices: readonly number[], width: number): Map<number, Float32Array> => {
      let at = 0;
      return new Map(indices.map((i) => [i, all.subarray(at, (at += rowsOf(works[i]!) * width))]));
    };
    const logitsOf = shared(values, onHost, vocabSize);
    const hiddenOf = shared(hiddenValues, hidden, hiddenSize);
    return spans.map(({ row, drafts = [] }, i) => {
      const logits = logitsOf.get(i) ?? NO_ROWS;
      const drafted = drafts.length > 0 ? this.#draftedRows(row, drafts, logits, samples[i]) : null;
      return {
        row,
        logits: drafted ? logits.subarray(0, vocabSize) : logits,
        hidden: hiddenOf.get(i) ?? NO_ROWS,
        sample: samples[i]?.[0] ?? null,
        drafted,
      };
    });
  }

  /** logits: [1 + drafts][vocabSize], or empty where the device drew · samples: [1 + drafts], or undefined */
  #draftedRows(
    row: Row,
    drafts: readonly number[],
    logits: Float32Array,
    samples: readonly DeviceSample[] | undefined,
  ): DraftedRows {
    const { decoder } = this.#runner;
    const { vocabSize } = decoder.config;
    const rows = drafts.map(
      (_, i): DrawnRow => ({
        logits: logits.subarray((i + 1) * vocabSize, (i + 2) * vocabSize),
        sample: samples?.[i + 1] ?? null,
      }),
    );
    const drafted = new DraftedRows(drafts, rows, row.sequence!, (length) => decoder.ropeLength(length));
    this.#drafted.set(row, drafted);
    return drafted;
  }

  /** The spans whose tokens are drawn on the device, by stream. */
  #groups(spans: readonly StepSpan<Row>[]): Map<string, number[]> {
    const groups = new Map<string, number[]>();
    const filled = new Map<string, { readonly part: number; readonly rows: number }>();
    const most = this.#runner.decoder.ops.sampling?.maxRows ?? 0;
    for (const [i, { row, count, drafts = [], logits }] of spans.entries()) {
      const { continuation } = row;
      if (!continuation?.draw || continuation.completionTokens === 0) continue;
      if (logits !== "last" || row.sequence!.length + count !== row.tokens.length) continue;
      const { draw } = continuation;
      const kind = keyOf(draw, 0);
      const before = filled.get(kind) ?? { part: 0, rows: 0 };
      const own = 1 + drafts.length;
      if (own > most) continue;
      const fits = before.rows + own <= most;
      const part = fits ? before.part : before.part + 1;
      if (!this.#streamFor(draw, part)) continue;
      filled.set(kind, { part, rows: fits ? before.rows + own : own });
      const key = keyOf(draw, part);
      const group = groups.get(key);
      if (group) group.push(i);
      else groups.set(key, [i]);
    }
    return groups;
  }

  #streamFor(draw: Draw, part: number): TokenStream | null {
    const { ops, config } = this.#runner.decoder;
    if (!ops.sampling) return null;
    const key = keyOf(draw, part);
    let stream = this.#streams.get(key);
    if (stream === undefined) {
      stream = ops.sampling.createStream(draw, config.vocabSize);
      this.#streams.set(key, stream);
    }
    return stream;
  }

  #closeOthers(groups: ReadonlyMap<string, unknown>): void {
    for (const [key, stream] of this.#streams) {
      if (groups.has(key)) continue;
      stream?.close();
      this.#streams.delete(key);
    }
  }
}

/** part: distinguishes streams when more rows draw alike than one stream can hold */
const keyOf = ({ temperature, topK, topP, minP }: Draw, part: number): string =>
  `${temperature}/${topK}/${topP}/${minP}/${part}`;
