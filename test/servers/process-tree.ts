import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  /** Exited, but not yet reaped by its parent: it runs nothing and holds nothing. */
  readonly zombie: boolean;
}

/** The process and all its descendants, ancestors first; empty if it does not run. */
export function processTree(pid: number): number[] {
  const rows = processTable().filter((row) => !row.zombie);
  const tree = rows.some((row) => row.pid === pid) ? [pid] : [];
  for (const ancestor of tree) {
    for (const row of rows) if (row.parent === ancestor) tree.push(row.pid);
  }
  return tree;
}

export function isRunning(pid: number): boolean {
  return processTable().some((row) => row.pid === pid && !row.zombie);
}

/** Halts the process and its descendants where they are (SIGSTOP). */
export function pauseTree(pid: number): void {
  const stopped = new Set<number>();
  // Ancestors are stopped first; what they forked meanwhile shows in the next look.
  for (let found = processTree(pid); found.some((each) => !stopped.has(each)); found = processTree(pid)) {
    for (const each of found) {
      send(each, "SIGSTOP");
      stopped.add(each);
    }
  }
}

export function resumeTree(pid: number): void {
  for (const each of processTree(pid).reverse()) send(each, "SIGCONT");
}

/** Kills the process and its descendants (SIGKILL) and resolves once none of them runs. */
export async function killTree(pid: number): Promise<void> {
  pauseTree(pid);
  const tree = processTree(pid);
  for (const each of tree) send(each, "SIGKILL");
  await until(() => !tree.some(isRunning), `processes ${tree.join(", ")} end after SIGKILL`);
}

/** Resolves once the condition holds; rejects with `what` once the deadline has passed. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, deadlineMs = 30_000) {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`);
    await pause(10);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function processTable(): ProcessRow[] {
  return process.platform === "linux" ? procTable() : psTable();
}

function procTable(): ProcessRow[] {
  const rows: ProcessRow[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      // "pid (command) state parent …": the command may hold spaces and parentheses.
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      rows.push({ pid: Number(name), parent: Number(parent), zombie: state === "Z" || state === "X" });
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return rows;
}

function psTable(): ProcessRow[] {
  const { stdout, error } = spawnSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" });
  if (error !== undefined) throw error;
  return stdout.split("\n").flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return state === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), zombie: state.startsWith("Z") }];
  });
}
