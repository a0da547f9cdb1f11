import type { Operation } from "../../history.ts";

export type Micro = readonly [what: string, key: string | number, value: unknown];

export interface Sketch {
  readonly micro: readonly Micro[];
  readonly outcome?: Operation["outcome"];
  readonly client?: string;
  /** Call and return. */
  readonly at?: readonly [called: number, returned: number];
}

function toOperation({ micro, outcome = "ok", client, at }: Sketch, id: number, called: number, returned: number) {
  const operation = {
    id,
    client: client ?? `c${id}`,
    name: "transact",
    input: micro.map(([what, key, value]) => [what, key, what === "r" ? null : value]),
    outcome,
    called: at?.[0] ?? called,
    returned: outcome === "unknown" ? Infinity : (at?.[1] ?? returned),
  };
  return outcome === "ok" ? { ...operation, output: micro } : operation;
}

/** All at the same time. */
export function concurrent(...sketches: Sketch[]): Operation[] {
  return sketches.map((sketch, i) => toOperation(sketch, i, i, sketches.length + i));
}

/** One after another. */
export function sequential(...sketches: Sketch[]): Operation[] {
  return sketches.map((sketch, i) => toOperation(sketch, i, 2 * i, 2 * i + 1));
}

export function t(...micro: Micro[]): Sketch {
  return { micro };
}
