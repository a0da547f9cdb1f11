import { readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import type pg from "pg";
import { processTree } from "../test/servers/process-tree.ts";

/** What has been used up until now. Differences of two readings say what a round cost. Unknown where /proc does not say. */
export interface Reading {
  /** Flushes of the disk that holds the folder, whoever asked for them. */
  readonly flushes: number | undefined;
  /** Bytes that the contestant's process has written, or its server into the write-ahead log. */
  readonly bytes: number | undefined;
  /** Microseconds of processor time, of the contestant's process and its server. */
  readonly processor: number | undefined;
  /** The same of everything that runs on the machine. */
  readonly machine: number | undefined;
}

export type Meter = () => Promise<Reading>;

/** Reads the meters for a contestant that needs no server. */
export function meterOf(folder: string, pid: number): Meter {
  return async () => ({
    flushes: flushesOf(folder),
    bytes: bytesWritten(pid),
    processor: processorTime([pid]),
    machine: machineTime(),
  });
}

/** Reads the meters for a contestant whose server is this one. */
export function serverMeterOf(folder: string, pid: number, server: { pid: number }, client: pg.Client): Meter {
  return async () => {
    const { rows } = await client.query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes");
    return {
      flushes: flushesOf(folder),
      bytes: Number(rows[0].bytes),
      processor: processorTime([pid, ...processTree(server.pid)]),
      machine: machineTime(),
    };
  };
}

/** What was used between the two readings. */
export function used(before: Reading, after: Reading): Reading {
  const difference = (name: keyof Reading) => {
    const [from, to] = [before[name], after[name]];
    return from === undefined || to === undefined ? undefined : to - from;
  };
  return {
    flushes: difference("flushes"),
    bytes: difference("bytes"),
    processor: difference("processor"),
    machine: difference("machine"),
  };
}

/** Which share of the processors others used meanwhile. */
export function othersShare({ machine, processor }: Reading, seconds: number): number | undefined {
  if (machine === undefined || processor === undefined) return undefined;
  return Math.max(0, (machine - processor) / (seconds * 1e6 * availableParallelism()));
}

/** The 16th statistic of the device (Documentation/admin-guide/iostats.rst). */
function flushesOf(folder: string): number | undefined {
  const { dev } = statSync(folder);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const line = textOf("/proc/diskstats")
    ?.split("\n")
    .map((each) => each.trim().split(/\s+/).map(Number))
    .find((fields) => fields[0] === major && fields[1] === minor);
  return line?.[18];
}

function bytesWritten(pid: number): number | undefined {
  const bytes = /^wchar: (\d+)/m.exec(textOf(`/proc/${pid}/io`) ?? "")?.[1];
  return bytes === undefined ? undefined : Number(bytes);
}

/** A tick of /proc is 10 ms, whatever the kernel's own (USER_HZ). */
const tick = 10_000;

/** utime and stime of the processes, and of those of their children that have ended (proc_pid_stat(5)). */
function processorTime(pids: readonly number[]): number | undefined {
  let ticks = 0;
  for (const pid of pids) {
    const fields = textOf(`/proc/${pid}/stat`)
      ?.replace(/^.*\) /, "")
      .split(" ");
    if (fields !== undefined) ticks += sum(fields.slice(11, 15));
    else if (pid === pids[0]) return undefined;
  }
  return ticks * tick;
}

/** Everything but idle and iowait (proc_stat(5)). */
function machineTime(): number | undefined {
  const fields = /^cpu +(.*)$/m.exec(textOf("/proc/stat") ?? "")?.[1]?.split(" ");
  return fields && (sum(fields.slice(0, 3)) + sum(fields.slice(5, 8))) * tick;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}

function sum(numbers: readonly string[]): number {
  return numbers.reduce((total, each) => total + Number(each), 0);
}
