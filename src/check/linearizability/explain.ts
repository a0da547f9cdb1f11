import type { Operation } from "../history.ts";
import type { Model } from "./model.ts";
import type { Entry } from "./timeline.ts";

/** Why a part of a history is not linearizable. */
export interface Explanation {
  readonly summary: string;
  readonly explanation: readonly string[];
  readonly operations: readonly Operation[];
  readonly longest: readonly Operation[];
  readonly stuck: readonly { readonly operation: Operation; readonly why: string }[];
}

export function explain(model: Model, part: { readonly entries: readonly Entry[] }): Explanation {
  void model;
  return { summary: "", explanation: [], operations: part.entries.map((e) => e.operation), longest: [], stuck: [] };
}
