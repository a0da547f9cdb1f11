import { raceAbort } from "../../core/index.ts";
import type { LogDriver, RawRecord } from "../driver.ts";
import type { Row } from "./client.ts";
import type { Connections } from "./connection.ts";
import { unpackRow } from "./log-rows.ts";
import { asParameter } from "./reads.ts";
import type { Statements } from "./statements.ts";
import { parseBytea } from "./wire.ts";

/** Reads of the log. The tables give the records in the order of their offsets, and a flush makes all of its records visible at once. */
export function createLogDriver(connections: Connections, statements: Statements): LogDriver {
  return {
    async read(topic, { from, limit, bytes, signal }) {
      if (limit <= 0) return [];
      const asked = [
        asParameter(topic),
        Math.max(0, from),
        Math.min(limit, mostRecords),
        Math.min(Math.max(1, Math.floor(bytes)), Number.MAX_SAFE_INTEGER),
      ];
      const rows = await raceAbort(connections.ask(statements.readLog, asked), signal);
      return toRecords(rows, from, limit, bytes);
    },
    async bounds(topic) {
      const [row] = await connections.ask(statements.bounds, [asParameter(topic)]);
      return { first: Number(row?.[0]), next: Number(row?.[1]) };
    },
    async trim(topic, before) {
      // In steps: appends to the topic go on in between.
      for (let more = true; more; ) {
        const [row] = await connections.ask(statements.trim, [asParameter(topic), Math.max(0, before), rowsTrimmed]);
        more = row?.[0] === "t";
      }
    },
  };
}

/** The records of rows of `kept, first, count, time, data`, cut to what was asked for. */
function toRecords(rows: readonly Row[], from: number, limit: number, bytes: number): RawRecord[] {
  const records: RawRecord[] = [];
  let size = 0;
  for (const [kept, first, , time, data] of rows) {
    const start = Math.max(from, Number(kept));
    let offset = Number(first);
    const at = Number(time);
    for (const value of unpackRow(parseBytea(data))) {
      if (offset >= start) {
        size += value.length;
        if (records.length === limit || (size > bytes && records.length > 0)) return records;
        records.push({ offset, value, time: at });
      }
      offset++;
    }
  }
  return records;
}

/** The greatest number that the server takes for a limit. */
const mostRecords = 2 ** 31 - 1;

/** Rows deleted by one statement. */
const rowsTrimmed = 1000;
