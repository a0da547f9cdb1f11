import { toBinaryString } from "../../core/index.ts";
import type { RawAppend, RawCommit, RawDelete, RawOutcome, RawSet } from "../driver.ts";
import type { Plan } from "./commit.ts";
import type { Statement } from "./connection.ts";
import { LogRows } from "./log-rows.ts";
import { headerLength, readHeader } from "./outcome-header.ts";
import { byteaArray, float8Array, int4Array, orNull } from "./wire.ts";

/** The last write of a key within the flush. */
interface Write {
  readonly mutation: RawSet | RawDelete;
  /** Which of the commits it belongs to, from 1. */
  readonly order: number;
}

/**
 * Commits of which none is refused: of several writes of a key only the last one matters.
 * @param more parameters of the function besides
 */
export function planWrites(commits: readonly RawCommit[], statement: Statement, more: readonly unknown[] = []): Plan {
  const writes = new Map<string, Write>();
  const log = new LogRows(true);
  for (let i = 0; i < commits.length; i++) {
    for (const mutation of (commits[i] as RawCommit).mutations) {
      if (mutation.kind === "append") log.add(mutation, i + 1);
      else
        writes.set(toBinaryString((mutation as RawSet | RawDelete).key), {
          mutation: mutation as RawSet | RawDelete,
          order: i + 1,
        });
    }
  }
  return {
    statement,
    writes: true,
    values: [commits.length, ...writeValues(writes), ...logValues(log), ...more],
    decode: (returned) => decode(commits, log, returned),
  };
}

function writeValues(writes: ReadonlyMap<string, Write>): unknown[] {
  const keys: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  const orders: number[] = [];
  const ttls: (number | undefined)[] = [];
  const deletes: Uint8Array[] = [];
  let inOrder = true;
  for (const { mutation, order } of writes.values()) {
    if (mutation.kind === "delete") {
      deletes.push(mutation.key);
      continue;
    }
    keys.push(mutation.key);
    values.push(mutation.value);
    ttls.push(mutation.ttl);
    if (orders.push(order) !== order) inOrder = false;
  }
  return [
    orNull(keys, byteaArray),
    orNull(values, byteaArray),
    inOrder ? null : int4Array(orders),
    orNull(ttls, float8Array),
    orNull(deletes, byteaArray),
  ];
}

function logValues({ topics, rows }: LogRows): unknown[] {
  if (rows.length === 0 && topics.length === 0) return [null, null, null, null, null];
  return [
    byteaArray(topics),
    int4Array(rows.map((row) => row.topic)),
    int4Array(rows.map((row) => row.at)),
    int4Array(rows.map((row) => row.count)),
    byteaArray(rows.map((row) => row.writer.take())),
  ];
}

function decode(commits: readonly RawCommit[], log: LogRows, returned: readonly (number | undefined)[]): RawOutcome[] {
  const { base } = readHeader(returned);
  const next = new Map(log.topics.map((topic, i) => [toBinaryString(topic), returned[headerLength + i] as number]));
  const append = ({ topic, records }: RawAppend): number => {
    const name = toBinaryString(topic);
    const first = next.get(name) as number;
    next.set(name, first + records.length);
    return first;
  };
  return commits.map(({ mutations }, i) => ({
    ok: true,
    revision: base + i + 1,
    adds: [],
    offsets: next.size === 0 ? [] : mutations.filter((mutation) => mutation.kind === "append").map(append),
  }));
}
