import { closeSync, fdatasyncSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";

/** Microseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** 4 KiB appended to a file and fdatasync, again and again: what a durable commit alone cannot undercut. */
export function measureSync(folder: string, times = 300): Latency {
  const file = join(folder, "sync-probe");
  const page = Buffer.alloc(4096, 0x61);
  const fd = openSync(file, "w");
  try {
    const took: number[] = [];
    for (let i = 0; i < times; i++) {
      const start = performance.now();
      writeSync(fd, page, 0, page.length, i * page.length);
      fdatasyncSync(fd);
      took.push(performance.now() - start);
    }
    return percentiles(took);
  } finally {
    closeSync(fd);
    unlinkSync(file);
  }
}

/** A round trip to the server that does nothing: `SELECT 1` by a named statement. */
export async function measureRoundTrip(client: pg.Client, times = 1000): Promise<Latency> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await client.query({ name: "nothing", text: "SELECT 1" });
    took.push(performance.now() - start);
  }
  return percentiles(took);
}

/** What the disk and the log of writes have seen until now; differences of two of them say what a round cost. */
export interface WriteCount {
  /** Flushes of the disk that holds the folder, everybody's; `undefined` where /proc/diskstats does not say. */
  readonly flushes: number | undefined;
  /** Bytes that the process has written, or of the server's write-ahead log. */
  readonly bytes: number | undefined;
}

/** Counts what a process of this machine writes. */
export function processWriteCounter(folder: string, pid: number): () => Promise<WriteCount> {
  return async () => ({ flushes: countFlushes(folder), bytes: bytesWritten(pid) });
}

/** For what does not write. */
export async function countNoWrites(): Promise<WriteCount> {
  return { flushes: undefined, bytes: undefined };
}

/** Counts what a server writes into its write-ahead log. */
export function serverWriteCounter(folder: string, client: pg.Client): () => Promise<WriteCount> {
  return async () => {
    const { rows } = await client.query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes");
    return { flushes: countFlushes(folder), bytes: Number(rows[0].bytes) };
  };
}

/** The 16th statistic of the device (Documentation/admin-guide/iostats.rst). */
function countFlushes(folder: string): number | undefined {
  try {
    const { dev } = statSync(folder);
    const major = (dev >> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
    for (const line of readFileSync("/proc/diskstats", "latin1").split("\n")) {
      const fields = line.trim().split(/\s+/);
      if (Number(fields[0]) === major && Number(fields[1]) === minor && fields.length > 18) return Number(fields[18]);
    }
  } catch {
    // Not Linux.
  }
  return undefined;
}

function bytesWritten(pid: number): number | undefined {
  try {
    return Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"))?.[1]);
  } catch {
    return undefined;
  }
}

function percentiles(ms: number[]): Latency {
  ms.sort((a, b) => a - b);
  const at = (share: number) => (ms[Math.floor(ms.length * share)] ?? 0) * 1000;
  return { p50: at(0.5), p99: at(0.99) };
}
