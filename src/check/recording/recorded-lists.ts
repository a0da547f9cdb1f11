import type { Engine, Transaction, TransactOptions } from "../../engine/index.ts";
import type { RecordOptions } from "./recorded-kv.ts";

/** A read of a list, with what it found once done; or an append of a value that nobody else appends to it. */
export type ListStep = readonly ["r", string, readonly unknown[] | null] | readonly ["append", string, unknown];

/** Does transactions over lists and records each of them, for a history that `transactions({ kind: "list-append" })` judges. */
export type RecordedLists = (steps: readonly ListStep[], options?: TransactOptions) => Promise<readonly ListStep[]>;

/**
 * Lists are kept as arrays, one key each, or as ranges, one key for each value, in the order of the appends: then reads are range reads, and what
 * an append inserts is a phantom to them.
 * @param layout says for each list how it is kept. Default: all as arrays
 */
export function recordLists(
  engine: Pick<Engine, "transact">,
  {
    recorder,
    client,
    layout = () => "array",
  }: RecordOptions & { readonly layout?: (list: string) => "array" | "range" },
): RecordedLists {
  return (steps, options) =>
    recorder.record({ client, name: "transact", input: steps }, () =>
      engine.transact(async (tx) => {
        const done: ListStep[] = [];
        for (const [kind, list, value] of steps) {
          const found = layout(list) === "array" ? await readArray(tx, list) : await readRange(tx, list);
          if (kind === "r") done.push(["r", list, found]);
          else {
            append(tx, list, layout(list), found ?? [], value);
            done.push(["append", list, value]);
          }
        }
        return done;
      }, options),
    );
}

async function readArray(tx: Transaction, list: string): Promise<readonly unknown[] | null> {
  return (await tx.get<unknown[]>([list])) ?? null;
}

async function readRange(tx: Transaction, list: string): Promise<readonly unknown[] | null> {
  const values: unknown[] = [];
  for await (const { value } of tx.list({ prefix: [list] })) values.push(value);
  return values.length === 0 ? null : values;
}

function append(
  tx: Transaction,
  list: string,
  layout: "array" | "range",
  found: readonly unknown[],
  value: unknown,
): void {
  if (layout === "array") tx.set([list], [...found, value]);
  else tx.set([list, found.length], value);
}
