/**
 * Histories of list-append transactions: each reads whole lists and appends values that nobody else appends. Lists show their own
 * past, so what a read returns tells which writes it followed (Kingsbury and Alvaro, "Elle", VLDB 2020).
 */
export type Step =
  | { readonly kind: "append"; readonly key: string; readonly value: number }
  | { readonly kind: "read"; readonly key: string; readonly values: readonly number[] };

export interface Transacted {
  /** Unique in the history. */
  readonly id: string;
  /** Instants of one monotonic clock, around the call. */
  readonly began: number;
  readonly ended: number;
  /** `aborted`: surely not applied. `unknown`: perhaps. */
  readonly outcome: "committed" | "aborted" | "unknown";
  readonly steps: readonly Step[];
}
