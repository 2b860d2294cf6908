/**
 * @file Whether answers that are bound to a schema are valid, by a validator that knows nothing of ours, on the built package (`npm run build` first).
 *
 *   git clone --depth 1 https://github.com/json-schema-org/JSON-Schema-Test-Suite suite
 *   npx tsx bench/server/schemas.ts --suite suite [--count 1000] [--seed 1] [--json]
 *   options: --clients 16 --model REF -t N --out FILE
 *
 * The schemas are those of the suite's mandatory tests of drafts 2020-12 and 7 in a random order, as far as the server accepts them, each once; what lacks
 * then to --count are random objects, lists and choices of two of them. Each is asked for in a chat at temperature 1 with a seed of its own; closing quotes
 * and brackets and the end are made likelier, so that most answers come to one. One that is cut off at 128 tokens is asked for again with 512, which goes on with the
 * same tokens; one that still ends by length is counted as truncated, and another schema takes its place. Ajv validates, with the formats of ajv-formats that
 * the engine enforces, but for uri, of which that refuses some that RFC 3986 allows. Ajv reckons in doubles: where a long number is no multiple for it, the
 * answer is left out and counted, and so is a schema that it does not compile. A request whose connection is closed before an answer begins is sent again once and counted.
 *
 * Prints the refused schemas by reason, each invalid answer, and the sums; --json one line of JSON. Exits with 1 when an answer is invalid, a
 * request failed otherwise than by being refused with 400, or fewer than --count answers were validated.
 */
import { appendFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { Ajv, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats, { type FormatName } from "ajv-formats";
import OpenAI from "openai";
import { ENFORCED_FORMATS } from "../../src/chat/json-schema.ts";
import { buildCommit } from "../../src/cli/build-info.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { isConnectionClosed, reasonsOf } from "./connection-error.ts";
import { ServerProcess } from "./server-process.ts";
import { composedSchema, type SuiteSchema, shuffled, suiteSchemas } from "./suite-schemas.ts";

const { values } = readCommandLine({
  options: {
    suite: { type: "string" },
    count: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    clients: { type: "string", default: "16" },
    model: { type: "string" },
    threads: { type: "string", short: "t" },
    json: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const [count, seed, clients] = [values.count, values.seed, values.clients].map(Number) as [number, number, number];
if (values.suite === undefined) refuse("expected --suite FOLDER, a clone of the test suite; --help says how to get it");
if (!(count > 0 && clients > 0 && Number.isSafeInteger(seed))) {
  refuse("expected numbers from 1 on for --count and --clients, and a whole number for --seed");
}

/** The first limit of an answer, and that of one which the first cut off. */
const LIMITS = [128, 512];
const FORMATS = [...ENFORCED_FORMATS].filter((format) => format !== "uri") as FormatName[];
/** RFC 3986, without a closer look at what is behind the scheme: a URI may have nothing there. */
const URI = /^[a-z][a-z0-9+.-]*:(?:[\w.~:/?#[\]@!$&'()*+,;=-]|%[0-9a-f]{2})*$/i;
/** Texts that are made likelier where they are one token, or less likely, and by how much (logarithms of odds): what closes, and digits, which never have to end. */
const CLOSING: readonly (readonly [readonly string[], number])[] = [
  [['"', "]", "}", '"]', '"}', "]]", "}}"], 4],
  [[..."0123456789"], -2],
];
const END_BIAS = 12;

let suite: SuiteSchema[];
try {
  suite = shuffled(suiteSchemas(values.suite), seed);
} catch (error) {
  refuse(`--suite: expected a clone of JSON-Schema-Test-Suite, got ${values.suite} (${(error as Error).message})`);
}

const validators = {
  "draft2020-12": () => new Ajv2020({ strict: false, logger: false, ownProperties: true }),
  draft7: () => new Ajv({ strict: false, logger: false, ownProperties: true }),
};

/** null where Ajv does not compile it. A validator of its own, as schemas of the suite have equal `$id`s. */
function validatorOf({ draft, schema }: SuiteSchema): ValidateFunction | null {
  const ajv = validators[draft]();
  addFormats.default(ajv, FORMATS);
  ajv.addFormat("uri", URI);
  try {
    return ajv.compile(schema);
  } catch {
    return null;
  }
}

const server = await ServerProcess.start([
  ...["--parallel", `${clients}`],
  ...(values.model ? ["--model", values.model] : []),
  ...(values.threads ? ["-t", values.threads] : []),
]);

const api = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
const post = (path: string, body: object): Promise<Response> =>
  fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** Biases of the tokens that are such a text whole, and of those that end an answer. */
async function closingBias(): Promise<Record<string, number>> {
  const info = await (await fetch(`${server.url}/tokenizer_info`)).json();
  const biases: Record<string, number> = {};
  const add = async (content: string, bias: number): Promise<void> => {
    const { tokens } = await (await post("/tokenize", { content })).json();
    if (tokens.length === 1) biases[tokens[0]] = bias;
  };
  for (const [texts, bias] of CLOSING) for (const text of texts) await add(text, bias);
  await add(info.eos_token, END_BIAS);
  return biases;
}

/** A number with more digits than a double keeps. */
const LONG_NUMBER = /(?:\d\.?){16}/;

interface Answer {
  readonly text: string;
  readonly finish: string;
  readonly tokens: number;
}

/** returns: the answer, or why the server refuses the schema. @throws Error — any other status, or no answer */
async function ask(schema: unknown, answerSeed: number, limit: number): Promise<Answer | string> {
  const begin = () =>
    api.chat.completions.create({
      model: "",
      messages: [{ role: "user", content: "Write some JSON." }],
      temperature: 1,
      seed: answerSeed,
      max_tokens: limit,
      logit_bias: bias,
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", schema: schema as Record<string, unknown> },
      },
      // Whole answers would have no headers before their end, for which fetch waits five minutes at most.
      stream: true,
      stream_options: { include_usage: true },
    });
  try {
    const events = await begin().catch((error: unknown) => {
      if (!isConnectionClosed(error)) throw error;
      sentAgain++;
      return begin();
    });
    const answer = { text: "", finish: "", tokens: 0 };
    for await (const { choices, usage } of events) {
      answer.text += choices[0]?.delta.content ?? "";
      answer.finish = choices[0]?.finish_reason ?? answer.finish;
      answer.tokens = usage?.completion_tokens ?? answer.tokens;
    }
    if (answer.finish === "") throw new Error("the stream ended without a finish_reason");
    return answer;
  } catch (error) {
    if (error instanceof OpenAI.BadRequestError) return (error.error as Error).message;
    throw error;
  }
}

/** A reason without what is of one schema alone, so that equal ones can be counted. */
const reasonOf = (message: string): string =>
  message
    .replace(/^response_format: /, "")
    .replace(/'[^']*'?|\/.*\/|\b\d{3,}\b/gs, "…")
    .replace(/\s+while processing.*?(?=\)|$)/s, "")
    .slice(0, 160);

const bias = await closingBias();
const refused = new Map<string, string[]>();
const unknownToAjv: string[] = [];
const undecided: string[] = [];
const truncated: string[] = [];
const failures: string[] = [];
const invalid: { name: string; schema: unknown; text: string; why: string }[] = [];
const accepted: SuiteSchema[] = [];
const texts = new Set<string>();
let [valid, composed, tokens, sent, sentAgain] = [0, 0, 0, 0, 0];

const started = performance.now();
const say = (text: string): void => {
  if (!values.json) console.log(text);
};

async function check(one: SuiteSchema, answerSeed: number): Promise<void> {
  const validate = validatorOf(one);
  let answer = await ask(one.schema, answerSeed, LIMITS[0]!);
  if (typeof answer === "string") {
    const reason = reasonOf(answer);
    refused.set(reason, [...(refused.get(reason) ?? []), one.name]);
    return;
  }
  if (!one.isComposed) accepted.push(one);
  if (!validate) {
    unknownToAjv.push(one.name);
    return;
  }
  if (answer.finish === "length") answer = (await ask(one.schema, answerSeed, LIMITS[1]!)) as Answer;
  if (answer.finish === "length") {
    truncated.push(`${one.name}: ${answer.text.slice(0, 120)}`);
    return;
  }
  tokens += answer.tokens;
  texts.add(answer.text);
  let why = "";
  try {
    if (!validate(JSON.parse(answer.text))) {
      if (validate.errors?.some(({ keyword }) => keyword === "multipleOf") && LONG_NUMBER.test(answer.text)) {
        undecided.push(`${one.name}: ${answer.text}`);
        return;
      }
      why = JSON.stringify(validate.errors);
    }
  } catch (error) {
    why = (error as Error).message;
  }
  if (why === "") {
    valid++;
    if (one.isComposed) composed++;
    return;
  }
  invalid.push({ name: one.name, schema: one.schema, text: answer.text, why });
  say(`invalid: ${one.name}\n  schema ${JSON.stringify(one.schema)}\n  answer ${answer.text}\n  ${why}`);
}

/** As many at once as there are clients, until there is no next one. */
async function all(next: (i: number) => SuiteSchema | null): Promise<void> {
  let i = 0;
  const client = async (): Promise<void> => {
    for (let one = next(i++); one !== null; one = next(i++)) {
      const own = seed * 1_000_000 + sent++;
      await check(one, own).catch((error: unknown) => void failures.push(`${one!.name}: ${reasonsOf(error)}`));
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${valid} valid, ${invalid.length} invalid`);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
}

const checked = (): number => valid + invalid.length;
try {
  await all((i) => (checked() < count ? (suite[i] ?? null) : null));
  // In the order of the suite, so that a seed makes the same schemas again.
  const base = suite.filter((one) => accepted.includes(one));
  // Some more than lacks are under way at once; none is begun when enough are whole.
  if (base.length > 0 && failures.length === 0) {
    await all((i) => (checked() < count ? composedSchema(base, seed, i) : null));
  }
} finally {
  await server.stop();
}

const numRefused = [...refused.values()].reduce((sum, { length }) => sum + length, 0);
const row = {
  test: "schemas",
  suite_schemas: suite.length,
  seed,
  answers: checked(),
  valid,
  invalid: invalid.length,
  failed_requests: failures.length,
  sent_again: sentAgain,
  composed,
  different_answers: texts.size,
  refused: numRefused,
  truncated: truncated.length,
  not_compiled_by_validator: unknownToAjv.length,
  undecided: undecided.length,
  refused_reasons: Object.fromEntries([...refused].map(([reason, { length }]) => [reason, length])),
  failures: failures.slice(0, 5),
  tokens,
  seconds: Math.round((performance.now() - started) / 1000),
  cpu_info: `${cpus()[0]?.model.trim()}, ${availableParallelism()} logical processors`,
  runtime: `Node ${process.version}`,
  build_commit: await buildCommit(),
  test_time: new Date().toISOString(),
};
if (values.json) console.log(JSON.stringify({ ...row, invalid_answers: invalid }));
if (values.out) appendFileSync(values.out, `${JSON.stringify(row)}\n`);
for (const [reason, names] of [...refused].sort(([, a], [, b]) => b.length - a.length)) {
  say(`refused ${String(names.length).padStart(4)}: ${reason}`);
}
for (const name of truncated) say(`truncated: ${name}`);
for (const name of unknownToAjv) say(`not compiled by Ajv: ${name}`);
for (const answer of undecided) say(`no multiple in doubles: ${answer}`);
for (const failure of failures) say(`failed: ${failure}`);
say(
  `${valid} of ${checked()} answers valid (${composed} of schemas made of two), ${texts.size} different, ${invalid.length} invalid; ` +
    `${numRefused} schemas refused, ${truncated.length} truncated, ${unknownToAjv.length} not compiled by Ajv, ${undecided.length} undecided, ${failures.length} failed, ${sentAgain} sent again; ${row.seconds} s`,
);
if (invalid.length + failures.length > 0 || checked() < count) process.exitCode = 1;
