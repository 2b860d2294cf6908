/**
 * @file Decodes one sequence with several steps in flight, where the device chooses the tokens.
 *
 * Step n + 1 takes its token from the device before the host knows it. A token joins the sequence when it has arrived:
 * steps ahead write to positions that are reserved only, so the window's 16-bit pages stay until no step can need them,
 * and steps that turn out to be too many leave nothing behind. Tokens, cache and snapshots are those of one step at a time.
 */
import type { DeviceSample, Step, TokenStream } from "../backends/ops.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import type { Runner } from "./runner.ts";
import { deviceDraw, notFinite, type Sample, type Sampler } from "./sampler.ts";
import type { SamplingParams } from "./sampling-params.ts";

/** Enough that the device has work while the host handles a token; more would only be thrown away at the end. */
const STEPS_IN_FLIGHT = 3;

type Arrival = Promise<readonly DeviceSample[]>;

export class DecodePipeline {
  readonly #runner: Runner;
  readonly #sequence: Sequence;
  readonly #stream: TokenStream;
  readonly #sampler: Sampler;
  readonly #inFlight: Arrival[] = [];

  private constructor(runner: Runner, sequence: Sequence, stream: TokenStream, sampler: Sampler) {
    this.#runner = runner;
    this.#sequence = sequence;
    this.#stream = stream;
    this.#sampler = sampler;
  }

  /** Null when the backend, or these parameters, leave the choice to the host. `sampler` gives the random numbers. */
  static open(runner: Runner, sequence: Sequence, params: SamplingParams, sampler: Sampler): DecodePipeline | null {
    const draw = deviceDraw(params);
    const { ops, config } = runner.decoder;
    const stream = (draw && ops.sampling?.createStream(draw, config.vocabSize)) ?? null;
    return stream && new DecodePipeline(runner, sequence, stream, sampler);
  }

  /**
   * Appends `token`, which the last call returned (or the first token), to the sequence and samples the next one.
   *
   * left: tokens that may still be asked for, this one included; at least 1
   * @throws TurboQuantError invalid_file — logits that are not finite; out_of_memory — no room for `token`
   */
  async next(token: number, left: number): Promise<Sample> {
    while (this.#inFlight.length < Math.min(STEPS_IN_FLIGHT, left)) if (!this.#launch(token)) break;
    const [sample] = (await this.#inFlight.shift()) as readonly [DeviceSample];
    this.#sequence.commit(1);
    if (sample.notFinite) throw notFinite(sample.notFinite.token, sample.notFinite.value);
    return sample;
  }

  /** Takes back the steps ahead. The device may still be at them: whatever comes later is queued behind them. Idempotent. */
  close(): void {
    this.#inFlight.length = 0;
    this.#sequence.dropReserved();
    this.#stream.close();
  }

  /** Queues one more step; `token` is known to the host when nothing is in flight. false: there is no room ahead. */
  #launch(token: number): boolean {
    const ahead = this.#inFlight.length;
    try {
      this.#sequence.reserve(ahead + 1);
    } catch (error) {
      // The generation may end before it gets there.
      if (ahead > 0 && error instanceof TurboQuantError && error.code === "out_of_memory") return false;
      throw error;
    }
    const position = this.#sequence.length + ahead;
    const step: Step = {
      tokens: Int32Array.of(ahead === 0 ? token : 0),
      positions: Int32Array.of(position),
      spans: [{ sequence: this.#sequence, start: position, count: 1, row: 0 }],
      logitRows: Int32Array.of(0),
      ...(ahead > 0 && { tokensFrom: this.#stream }),
    };
    const logits = this.#runner.decoder.queue(step)!;
    const arrival = this.#stream.sample(logits, 1, [this.#sampler.nextUniform()]);
    // A failure is met when its token is asked for, which may be never.
    arrival.catch(() => {});
    this.#inFlight.push(arrival);
    return true;
  }
}
