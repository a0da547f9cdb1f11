import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from "node:fs";
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

function percentiles(ms: number[]): Latency {
  ms.sort((a, b) => a - b);
  const at = (share: number) => (ms[Math.floor(ms.length * share)] ?? 0) * 1000;
  return { p50: at(0.5), p99: at(0.99) };
}
