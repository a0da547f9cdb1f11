import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { killTree } from "./process-tree.ts";

/**
 * Runs as a process of its own beside each process that starts servers, and outlives it for a moment: when its input
 * ends, however its parent died, it kills the servers and removes the folders that are still registered.
 */
export type GuardMessage =
  | { readonly hold: "process"; readonly pid: number }
  | { readonly release: "process"; readonly pid: number }
  | { readonly hold: "folder"; readonly path: string }
  | { readonly release: "folder"; readonly path: string };

if (import.meta.main) {
  const processes = new Set<number>();
  const folders = new Set<string>();
  for await (const line of createInterface({ input: process.stdin })) {
    const message = JSON.parse(line) as GuardMessage;
    if ("path" in message) {
      if ("hold" in message) folders.add(message.path);
      else folders.delete(message.path);
    } else if ("hold" in message) processes.add(message.pid);
    else processes.delete(message.pid);
  }
  await Promise.allSettled(Array.from(processes, killTree));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
