import type { Contestant } from "../contestant.ts";
import { createInputs, newRecord, newValue, RANGE, runs } from "../inputs.ts";

/** The package `@deno/kv` on its local file. It has no log: records lie under keys that the caller numbers, as one would do with it. */
export async function openDenoKv(file: string): Promise<Contestant> {
  // Not a literal: the package may be absent, and then nothing of this file is type-checked against it.
  const name: string = "@deno/kv";
  const { openKv } = (await import(name)) as { openKv(path: string): Promise<DenoKv> };
  const kv = await openKv(file);
  const keyOf = (i: number) => ["item", i];
  let inputs = createInputs(RANGE);
  let appended = 0;
  let filled = 0;

  const readWhole = async () => {
    let records = 0;
    for await (const _ of kv.list({ prefix: ["filled"] }, { batchSize: 500 })) records++;
    return records;
  };

  return {
    operations: {
      get: async () => ((await kv.get(keyOf(inputs.pick()))).value as Uint8Array).length / 100,
      set: async () => {
        await kv.set(keyOf(inputs.pick()), newValue());
        return 1;
      },
      cas: async () => {
        const entries = await kv.getMany(inputs.pickThree().map(keyOf));
        let atomic = kv.atomic().check(...entries);
        for (const { key } of entries) atomic = atomic.set(key, newValue());
        return (await atomic.commit()).ok ? 1 : 0;
      },
      range: async () => {
        const first = inputs.pickRange();
        let entries = 0;
        for await (const _ of kv.list({ start: keyOf(first), end: keyOf(first + RANGE) }, { batchSize: 500 }))
          entries++;
        if (entries !== RANGE) throw new Error(`${entries} entries instead of ${RANGE}`);
        return 1;
      },
      append: async () => {
        await kv.set(["appended", appended++], newRecord());
        return 1;
      },
      "read-log": readWhole,
    },
    async load(keys) {
      inputs = createInputs(keys);
      for (const run of runs(keys, 500)) {
        let atomic = kv.atomic();
        for (const i of run) atomic = atomic.set(keyOf(i), newValue());
        await atomic.commit();
      }
    },
    async fillLog(records) {
      // A tenth is enough to see the rate, and the whole would take minutes.
      for (const run of runs(records / 10, 500)) {
        let atomic = kv.atomic();
        for (const _ of run) atomic = atomic.set(["filled", filled++], newRecord());
        await atomic.commit();
      }
    },
    close: () => kv.close(),
  };
}

/** The part of the package's interface that is used here. */
interface DenoKv {
  get(key: DenoKey): Promise<DenoEntry>;
  getMany(keys: DenoKey[]): Promise<DenoEntry[]>;
  set(key: DenoKey, value: unknown): Promise<unknown>;
  list(
    selector: { prefix: DenoKey } | { start: DenoKey; end: DenoKey },
    options: { batchSize: number },
  ): AsyncIterable<DenoEntry>;
  atomic(): DenoAtomic;
  close(): void;
}

interface DenoAtomic {
  check(...entries: DenoEntry[]): DenoAtomic;
  set(key: DenoKey, value: unknown): DenoAtomic;
  commit(): Promise<{ readonly ok: boolean }>;
}

type DenoKey = readonly (string | number)[];

interface DenoEntry {
  readonly key: DenoKey;
  readonly value: unknown;
  readonly versionstamp: string | null;
}
