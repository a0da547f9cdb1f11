import { closeSync, constants, type FSWatcher, openSync, watch, writeSync } from "node:fs";

/*
 * A file beside the database, `<file>-notify`, into which each writer writes a byte after its commit, so that other processes
 * may be told by the operating system. It is a hint: whoever relies on it also looks by himself now and then. (Watching
 * the database's own files does not work: they change before the commit can be seen.)
 */

/** The writer's side. */
export class Notifier {
  #fd: number | undefined;

  constructor(file: string) {
    try {
      this.#fd = openSync(notifyFile(file), constants.O_RDWR | constants.O_CREAT, 0o666);
    } catch {
      // Hints are a luxury.
    }
  }

  notify(): void {
    if (this.#fd === undefined) return;
    try {
      writeSync(this.#fd, oneByte, 0, 1, 0);
    } catch {
      // As above.
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

const oneByte = Uint8Array.of(0x2e);

/** Calls `hint` after commits of any process, mostly. Returns how to end that. Does not keep the process alive. */
export function onNotify(file: string, hint: () => void): () => void {
  let watcher: FSWatcher | undefined;
  const end = () => {
    watcher?.close();
    watcher = undefined;
  };
  try {
    watcher = watch(notifyFile(file), { persistent: false }, hint);
    watcher.on("error", end);
  } catch {
    // No inotify on this file system, or none left: looking now and then must do.
  }
  return end;
}

function notifyFile(file: string): string {
  return `${file}-notify`;
}
