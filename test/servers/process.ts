import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { accessSync, chownSync, closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { GuardMessage } from "./guard.ts";
import { isRunning, killTree, pauseTree, resumeTree, until } from "./process-tree.ts";

/** The operating system account that a server runs under. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account for servers that refuse to run as root: `undefined` (the present one) unless this process is root.
 * @param names accounts to try, the first that exists is taken
 */
export function unprivilegedAccount(...names: string[]): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of names) {
    const [uid, gid] = ["-u", "-g"].map((flag) => spawnSync("id", [flag, name], { encoding: "utf8" }).stdout.trim());
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(`running as root, and none of the accounts ${names.join(", ")} exists to run the server under`);
}

/** The first of the folders (by default those of PATH) that holds all these programs. */
export function findFolderOf(programs: readonly string[], more: readonly string[] = []): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":").filter(Boolean), ...more];
  return folders.find((folder) => programs.every((program) => isExecutable(join(folder, program))));
}

/**
 * What to pass as `skip` for tests that need a program: `false` if it is there, the message if not.
 * With CI=true an absent program throws instead: nothing is left out in silence there.
 */
export function skipWithout(found: string | undefined, missing: string): string | false {
  if (found !== undefined) return false;
  if (process.env["CI"] === "true") throw new Error(`${missing} (CI=true: not skipped)`);
  return missing;
}

/** A temporary folder of a server; it disappears with this process at the latest. */
export function createServerFolder(name: string, account: Account | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), `ashlar-${name}-`));
  tellGuard({ hold: "folder", path: folder });
  if (account !== undefined) chownSync(folder, account.uid, account.gid);
  return folder;
}

export function removeServerFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  tellGuard({ release: "folder", path: folder });
}

/**
 * A loopback port that nobody listens on now. It lies below the ranges from which operating systems draw the ports of
 * outgoing connections, so a server that was killed finds it free again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await isFree(port)) return port;
  }
}

/** A server's process. It dies with this process at the latest, however this one ends. */
export class ServerProcess {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    child.once("exit", () => tellGuard({ release: "process", pid }));
  }

  /** Starts the program in `folder`; its output goes to the end of the file `log`. */
  static async start(
    program: string,
    args: readonly string[],
    options: { readonly folder: string; readonly log: string; readonly account: Account | undefined },
  ): Promise<ServerProcess> {
    const output = openSync(options.log, "a");
    try {
      const child = spawn(program, args, {
        cwd: options.folder,
        // Nothing of the caller's environment (PGDATA, PGPORT, LANG …) changes what a test sees.
        env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC", TMPDIR: options.folder },
        stdio: ["ignore", output, output],
        ...options.account,
      });
      await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
      const pid = child.pid as number;
      tellGuard({ hold: "process", pid });
      child.unref();
      return new ServerProcess(child, pid);
    } finally {
      closeSync(output);
    }
  }

  get running(): boolean {
    return !this.#reaped && isRunning(this.pid);
  }

  get #reaped(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Asks it to end by the signal; kills it and its children if it has not ended by the deadline. */
  async stop(signal: NodeJS.Signals, deadlineMs = 10_000): Promise<void> {
    if (!this.running) return;
    resumeTree(this.pid);
    this.#child.kill(signal);
    await until(() => !this.running, `process ${this.pid} ends on ${signal}`, deadlineMs).catch(() => this.kill9());
  }

  /** SIGKILL to the process and its children at once; resolves when none of them runs. */
  async kill9(): Promise<void> {
    await killTree(this.pid);
    // Until it is reaped, a process that exited counts as alive for those that look its id up in a lock file.
    await until(() => this.#reaped, `process ${this.pid} is reaped after SIGKILL`);
  }

  pause(): void {
    pauseTree(this.pid);
  }

  resume(): void {
    resumeTree(this.pid);
  }
}

/** Waits until `ready` says that the server serves; if it ends before, rejects with the end of its log. */
export async function untilReady(server: ServerProcess, log: string, ready: () => boolean): Promise<void> {
  await until(() => ready() || !server.running, `process ${server.pid} serves; its log is ${log}`, 60_000);
  if (!server.running) throw new ServerStartError(readFileSync(log, "utf8").slice(-4000));
}

/** The server ended instead of serving. */
export class ServerStartError extends Error {
  override readonly name = "ServerStartError";

  constructor(log: string) {
    super(`the server ended while it was starting; its log ends:\n${log}`);
  }

  /** Someone else took the port between the choice and the start: another one will do. */
  get portTaken(): boolean {
    return /address already in use/i.test(this.message);
  }
}

let guard: ChildProcess | undefined;

function tellGuard(message: GuardMessage): void {
  guard ??= startGuard();
  guard.stdin?.write(`${JSON.stringify(message)}\n`);
}

function startGuard(): ChildProcess {
  // A session of its own keeps Ctrl-C away from it: it must outlive this process.
  const child = spawn(process.execPath, [fileURLToPath(new URL("./guard.ts", import.meta.url))], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    cwd: "/",
  });
  child.unref();
  const input = child.stdin as unknown as { unref(): void };
  input.unref();
  return child;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ host: "127.0.0.1", port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
