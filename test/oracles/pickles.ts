/** Pickles of drawn values: does Python read what was written? */
import { deepStrictEqual } from "node:assert";
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { type Picklable, pickle, Tuple } from "../../src/trace/pickle.ts";

const PROGRAM = `
import json, pickle, sys
def plain(value):
    if isinstance(value, tuple): return {"tuple": [plain(item) for item in value]}
    if isinstance(value, list): return [plain(item) for item in value]
    if isinstance(value, dict): return {"dict": [[key, plain(item)] for key, item in value.items()]}
    if isinstance(value, bool) or value is None or isinstance(value, str): return value
    if isinstance(value, int): return {"int": str(value)}
    return {"float": value.hex()}
for line in sys.stdin:
    print(json.dumps(plain(pickle.loads(bytes.fromhex(line)))))
`;

/** As the program has it. */
function plain(value: Picklable): unknown {
  if (value instanceof Tuple) return { tuple: value.items.map(plain) };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return { int: String(BigInt(value as number)) };
  if (typeof value === "number") return { float: value };
  if (typeof value !== "object" || value === null) return value;
  return { dict: Object.entries(value).map(([key, item]) => [key, plain(item)]) };
}

const hexOf = (hex: string) => {
  const [, sign = "", whole = "0", fraction = "", power = "0"] = /^(-?)0x(\d)\.?([0-9a-f]*)p([+-]\d+)$/.exec(hex) ?? [];
  const digits = Number.parseInt(whole + fraction, 16) / 16 ** fraction.length;
  return (sign ? -1 : 1) * digits * 2 ** Number(power);
};

const bigText = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);

/** @throws AssertionError at the first value that Python reads as another one. */
export function comparePickles(python: string, seed: number): void {
  const { value } = fc.letrec<{ value: Picklable }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.oneof(
        fc.constant(null),
        fc.boolean(),
        fc.string({ unit: "grapheme" }),
        fc.maxSafeInteger(),
        fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
        fc.integer({ min: -1000, max: 1000 }).map((n) => n + 0.5),
      ),
      fc.array(tie("value")),
      fc.array(tie("value")).map((items) => new Tuple(...items)),
      fc.dictionary(fc.string(), tie("value"), { noNullPrototype: true }),
    ),
  }));
  const values = fc
    .sample(value, { numRuns: 300, seed })
    .filter((one) => !JSON.stringify(one, bigText).includes('"__proto__"'));
  const input = values.map((one) => Buffer.from(pickle(one)).toString("hex")).join("\n");
  const { stdout, stderr, status } = spawnSync(python, ["-c", PROGRAM], { input, encoding: "utf8" });
  deepStrictEqual([status, stderr], [0, ""]);
  const read = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line, (key, item) => (key === "float" && typeof item === "string" ? hexOf(item) : item)));
  deepStrictEqual(read, values.map(plain));
}
