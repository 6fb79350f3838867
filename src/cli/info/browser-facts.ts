/** What webccl asks of a browser: the facts that a page finds out, in the order in which they are shown, and their table. */

/** By name, the words of each fact. */
export const FACTS = {
  isolated: "Cross-origin isolation",
  sharedMemory: "SharedArrayBuffer",
  threads: "Threads (spawnRanks)",
  simd: "WebAssembly SIMD",
  webgpu: "WebGPU",
  shaderF16: "WebGPU shader-f16",
  timestamps: "WebGPU timestamps",
  messagePorts: "Message ports of tabs",
  dataChannels: "WebRTC data channels",
  float16: "Float16Array",
  webCrypto: "Web Crypto",
} as const;

export type FactName = keyof typeof FACTS;

export const FACT_NAMES = Object.keys(FACTS) as FactName[];

/** Whether a browser has it, and the reason where it has not. */
export interface Fact {
  readonly has: boolean;
  readonly note: string | null;
}

/** A browser, and the facts that a page found out in it. */
export interface BrowserReport {
  /** Such as "Firefox 153.8.0". */
  readonly browser: string;
  /** Settings under which it was opened, that its users do not have; null if there are none, or nobody knows. */
  readonly settings: string | null;
  readonly facts: Readonly<Record<FactName, Fact>>;
}

/** One row a fact, one column a browser. */
export function factRows(reports: readonly BrowserReport[]): readonly (readonly [label: string, ...cells: string[]])[] {
  return FACT_NAMES.map((name) => [FACTS[name], ...reports.map(({ facts }) => (facts[name].has ? "yes" : "no"))]);
}

/** Why a browser lacks a fact, or a fact has a condition: "WebKitGTK 2.50, WebGPU: …". */
export function factNotes({ facts }: BrowserReport): string[] {
  return FACT_NAMES.flatMap((name) => (facts[name].note === null ? [] : [`${FACTS[name]}: ${facts[name].note}`]));
}

/** @throws TypeError if `value` is not what the page sends. */
export function factsOf(value: unknown): Readonly<Record<FactName, Fact>> {
  const given = value as Partial<Record<FactName, Partial<Fact>>> | null;
  const facts = FACT_NAMES.map((name) => {
    const { has, note = null } = given?.[name] ?? {};
    if (typeof has !== "boolean" || (note !== null && typeof note !== "string")) {
      throw new TypeError(`the page did not say whether there is ${FACTS[name]}`);
    }
    return [name, { has, note }] as const;
  });
  return Object.fromEntries(facts) as Record<FactName, Fact>;
}
