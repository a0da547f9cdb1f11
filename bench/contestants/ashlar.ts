import { connect } from "../../src/engine/connect.ts";
import type { Contestant } from "../contestant.ts";
import { createInputs, newRecord, newValue, PAGE, RANGE, runs } from "../inputs.ts";

/** Ashlar, through its public contract alone. */
export async function openAshlar(url: string): Promise<Contestant> {
  const engine = await connect(url);
  const { kv, log } = engine;
  let inputs = createInputs(RANGE);
  const keyOf = (i: number) => ["item", i];

  const readWhole = (topic: string) => async () => {
    let from = 0;
    let bytes = 0;
    for (;;) {
      const records = await log.read<Uint8Array>(topic, { from, limit: PAGE });
      if (records.length === 0) break;
      for (const { value } of records) bytes += value.length;
      from += records.length;
    }
    if (bytes !== from * 256) throw new Error(`${from} records read with ${bytes} bytes`);
    return from;
  };

  return {
    operations: {
      get: async () => {
        const entry = await kv.get<Uint8Array>(keyOf(inputs.pick()));
        return (entry as NonNullable<typeof entry>).value.length / 100;
      },
      set: async () => {
        await kv.set(keyOf(inputs.pick()), newValue());
        return 1;
      },
      cas: async () => {
        const keys = inputs.pickThree().map(keyOf);
        const entries = await kv.getMany(keys);
        const { ok } = await kv.tryCommit({
          checks: keys.map((key, i) => ({ key, version: entries[i]?.version })),
          mutations: keys.map((key) => ({ set: key, value: newValue() })),
        });
        return ok ? 1 : 0;
      },
      transact: async () => {
        const keys = inputs.pickThree().map(keyOf);
        await engine.transact(async (tx) => {
          await tx.getMany(keys);
          for (const key of keys) tx.set(key, newValue());
        });
        return 1;
      },
      range: async () => {
        const first = inputs.pickRange();
        let entries = 0;
        for await (const entry of kv.list<Uint8Array>({ start: keyOf(first), end: keyOf(first + RANGE) }))
          entries += entry.value.length / 100;
        if (entries !== RANGE) throw new Error(`${entries} entries instead of ${RANGE}`);
        return 1;
      },
      append: async () => {
        await log.append("appended", [newRecord()]);
        return 1;
      },
      "read-log": readWhole("filled"),
      "read-log-single": readWhole("singly"),
    },
    async load(keys) {
      inputs = createInputs(keys);
      await inParallel(16, runs(keys, 100), async (run) => {
        await kv.commit({ mutations: run.map((i) => ({ set: keyOf(i), value: newValue() })) });
      });
    },
    async fillLog(records) {
      for (const run of runs(records, 100 * 16)) {
        const appends = [...runs(run.length, 100)].map((part) => log.append("filled", part.map(newRecord)));
        await Promise.all(appends);
      }
    },
    async fillLogSingly(records) {
      for (let i = 0; i < records; i++) await log.append("singly", [newRecord()]);
    },
    close: () => engine.close(),
  };
}

async function inParallel<T>(callers: number, work: Iterable<T>, act: (item: T) => Promise<void>): Promise<void> {
  const items = work[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let next = items.next(); !next.done; next = items.next()) await act(next.value);
    }),
  );
}
