import pg from "pg";
import type { Contestant } from "../contestant.ts";
import { createInputs, type Inputs, newRecord, newValue, PAGE, RANGE, runs } from "../inputs.ts";

const schema = `
  CREATE TABLE kv (key bytea PRIMARY KEY, value bytea NOT NULL, version bigint NOT NULL);
  CREATE TABLE appended (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value bytea NOT NULL, time timestamptz NOT NULL DEFAULT now());
  CREATE TABLE filled (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value bytea NOT NULL, time timestamptz NOT NULL DEFAULT now());
`;

const upsert = {
  name: "upsert",
  text: "INSERT INTO kv VALUES ($1, $2, 1) ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = kv.version + 1",
};
const getOne = { name: "get", text: "SELECT value, version FROM kv WHERE key = $1" };
const getThree = { name: "get-three", text: "SELECT key, value, version FROM kv WHERE key = ANY ($1::bytea[])" };
const lockThree = {
  name: "lock-three",
  text: "SELECT key, value, version FROM kv WHERE key = ANY ($1::bytea[]) ORDER BY key FOR UPDATE",
};
const setThree = {
  name: "set-three",
  text: `UPDATE kv SET value = new.value, version = kv.version + 1
    FROM unnest($1::bytea[], $2::bytea[]) AS new (key, value) WHERE kv.key = new.key`,
};
const checkAndSetThree = {
  name: "check-and-set-three",
  text: `WITH wanted AS (SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[]) AS w (key, version, value)),
      locked AS (SELECT kv.key, kv.version FROM kv WHERE kv.key = ANY ($1::bytea[]) ORDER BY kv.key FOR UPDATE),
      verdict AS (SELECT count(*) = 3 AS holds FROM locked JOIN wanted USING (key, version))
    UPDATE kv SET value = wanted.value, version = kv.version + 1 FROM wanted, verdict WHERE kv.key = wanted.key AND verdict.holds`,
};
const list = {
  name: "list",
  text: "SELECT key, value, version FROM kv WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3",
};
const append = { name: "append", text: "INSERT INTO appended (value) VALUES ($1) RETURNING seq" };
const fill = { name: "fill", text: "INSERT INTO filled (value) SELECT unnest($1::bytea[])" };
const read = { name: "read", text: "SELECT seq, value, time FROM filled WHERE seq >= $1 ORDER BY seq LIMIT $2" };

/** The client `pg` with named statements and a pool of 10; each commit is one statement, in autocommit. */
export async function openPgStatements(url: string): Promise<Contestant> {
  const { pool, base, inputs } = await open(url);
  const readWhole = async () => {
    let from = 1;
    for (;;) {
      const { rows } = await pool.query({ ...read, values: [from, PAGE] });
      const last = rows.at(-1);
      if (last === undefined) return from - 1;
      from = Number(last.seq) + 1;
    }
  };
  return {
    ...base,
    operations: {
      get: async () => {
        const { rows } = await pool.query({ ...getOne, values: [keyOf(inputs().pick())] });
        return rows[0].value.length / 100;
      },
      set: async () => {
        await pool.query({ ...upsert, values: [keyOf(inputs().pick()), newValue()] });
        return 1;
      },
      cas: async () => {
        const keys = inputs().pickThree().map(keyOf);
        const { rows } = await pool.query({ ...getThree, values: [keys] });
        const versions = keys.map((key) => rows.find((row) => key.equals(row.key)).version);
        const { rowCount } = await pool.query({ ...checkAndSetThree, values: [keys, versions, keys.map(newValue)] });
        return rowCount === 3 ? 1 : 0;
      },
      range: async () => {
        const first = inputs().pickRange();
        const { rows } = await pool.query({ ...list, values: [keyOf(first), keyOf(first + RANGE), RANGE] });
        if (rows.length !== RANGE) throw new Error(`${rows.length} entries instead of ${RANGE}`);
        return 1;
      },
      append: async () => {
        await pool.query({ ...append, values: [newRecord()] });
        return 1;
      },
      "read-log": readWhole,
      "read-log-single": readWhole,
    },
    async fillLog(records) {
      for (const run of runs(records, 1000)) await pool.query({ ...fill, values: [run.map(newRecord)] });
    },
  };
}

/** The same client; each commit is a transaction as most programs write them: BEGIN, the statements, COMMIT, one round trip each. */
export async function openPgTransactions(url: string): Promise<Contestant> {
  const { pool, base, inputs } = await open(url);
  return {
    ...base,
    operations: {
      set: async () => {
        const client = await pool.connect();
        try {
          await client.query("BEGIN");
          await client.query({ ...upsert, values: [keyOf(inputs().pick()), newValue()] });
          await client.query("COMMIT");
        } finally {
          client.release();
        }
        return 1;
      },
      cas: async () => {
        const keys = inputs().pickThree().map(keyOf);
        const client = await pool.connect();
        try {
          await client.query("BEGIN");
          await client.query({ ...lockThree, values: [keys] });
          await client.query({ ...setThree, values: [keys, keys.map(newValue)] });
          await client.query("COMMIT");
        } finally {
          client.release();
        }
        return 1;
      },
    },
  };
}

async function open(
  url: string,
): Promise<{ pool: pg.Pool; base: Pick<Contestant, "load" | "close">; inputs: () => Inputs }> {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  await pool.query(schema);
  let inputs = createInputs(RANGE);
  const load = async (keys: number) => {
    inputs = createInputs(keys);
    for (const run of runs(keys, 1000)) {
      const values = [run.map(keyOf), run.map(newValue)];
      await pool.query(
        "INSERT INTO kv SELECT key, value, 1 FROM unnest($1::bytea[], $2::bytea[]) AS new (key, value)",
        values,
      );
    }
    await pool.query("VACUUM ANALYZE kv");
  };
  return { pool, base: { load, close: () => pool.end() }, inputs: () => inputs };
}

function keyOf(i: number): Buffer {
  const key = Buffer.alloc(12, "item", "latin1");
  key.writeBigUInt64BE(BigInt(i), 4);
  return key;
}
