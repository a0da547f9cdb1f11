import { crc32 } from "node:zlib";
import { sleep } from "../../src/core/index.ts";
import type { SimulatedNode, VirtualFileHandle, VirtualFs } from "../../src/simulation/index.ts";
import { replaceFile, syncRoot } from "./replace-file.ts";

/** How careful the log is. */
export interface LogPractice {
  readonly acknowledge: "synced" | "written";
  readonly onSyncError: "exit" | "retry";
  /** Whether recovery compares a record with its checksum. */
  readonly checksum: boolean;
  readonly snapshot: "synced" | "unsynced";
}

interface LogRecord {
  readonly offset: number;
  readonly id: string;
  readonly value: string;
}

interface Pending {
  readonly id: string;
  readonly value: string;
  readonly resolve: (offset: number) => void;
}

type Written = Pick<LogRecord, "offset"> & Pick<Pending, "resolve">;

const snapshotPath = "/snapshot";
const logPath = "/log";
const recordsPerSnapshot = 30;
/** Records that come within this time share one sync. */
const gatherMs = 10;

/** A log in two files: a snapshot of all records up to some point, and those since then. */
export class LogFiles {
  readonly #node: SimulatedNode;
  readonly #practice: LogPractice;
  /** All that are in the files; the first `#acknowledged` of them may be seen. */
  readonly #records: LogRecord[];
  #acknowledged: number;
  readonly #offsets = new Map<string, Promise<number>>();
  readonly #pending: Pending[] = [];
  #handle: VirtualFileHandle;
  #sinceSnapshot = 0;
  #working = false;

  constructor(node: SimulatedNode, practice: LogPractice, records: LogRecord[], handle: VirtualFileHandle) {
    this.#node = node;
    this.#practice = practice;
    this.#records = records;
    this.#acknowledged = records.length;
    this.#handle = handle;
    for (const { id, offset } of records) this.#offsets.set(id, Promise.resolve(offset));
  }

  values(): string[] {
    return this.#records.slice(0, this.#acknowledged).map(({ value }) => value);
  }

  /** Appends the value, if none was appended under the id before; resolves with its offset. What goes wrong on the disk ends the process. */
  append(id: string, value: string): Promise<number> {
    const known = this.#offsets.get(id);
    if (known) return known;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#offsets.set(id, promise);
    this.#pending.push({ id, value, resolve });
    // Nobody catches: what is on the disk after an error is found out on the way up.
    if (!this.#working) void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#pending.length > 0) {
      const group = await this.#writeGroup();
      await sync(this.#handle, this.#practice);
      this.#acknowledge(group);
      if (this.#sinceSnapshot < recordsPerSnapshot) continue;
      const old = this.#handle;
      this.#handle = await compact(this.#node.disk, this.#records, this.#practice);
      await old.close();
      this.#sinceSnapshot = 0;
    }
    this.#working = false;
  }

  async #writeGroup(): Promise<Written[]> {
    const { clock } = this.#node.runtime;
    const group: Written[] = [];
    const end = clock.monotonic() + gatherMs;
    while (clock.monotonic() < end) {
      for (const { id, value, resolve } of this.#pending.splice(0)) {
        const record: LogRecord = { offset: this.#records.length, id, value };
        const written: Written = { offset: record.offset, resolve };
        await this.#handle.appendFile(encode(record));
        this.#records.push(record);
        this.#sinceSnapshot++;
        if (this.#practice.acknowledge === "written") this.#acknowledge([written]);
        group.push(written);
      }
      await sleep(this.#node.runtime, 1);
    }
    return group;
  }

  #acknowledge(group: readonly Written[]): void {
    for (const { offset, resolve } of group) {
      this.#acknowledged = Math.max(this.#acknowledged, offset + 1);
      resolve(offset);
    }
  }
}

/** Recovers what the files hold, and makes all of it durable: a process that died may have left it in the page cache alone. */
export async function openLog(node: SimulatedNode, practice: LogPractice): Promise<LogFiles> {
  const records = [...(await load(node.disk, snapshotPath, practice))];
  for (const record of await load(node.disk, logPath, practice)) {
    if (record.offset === records.length) records.push(record);
  }
  return new LogFiles(node, practice, records, await compact(node.disk, records, practice));
}

async function sync(handle: VirtualFileHandle, { onSyncError }: LogPractice): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await handle.sync();
      return;
    } catch (error) {
      if (onSyncError === "exit" || attempt === 5) throw error;
    }
  }
}

/** Writes the snapshot of all records and begins a new log, which it opens. */
async function compact(
  disk: VirtualFs,
  records: readonly LogRecord[],
  practice: LogPractice,
): Promise<VirtualFileHandle> {
  const content = Buffer.concat(records.map(encode));
  if (practice.snapshot === "synced") await replaceFile(disk, snapshotPath, content);
  else {
    await disk.writeFile(`${snapshotPath}.new`, content);
    await disk.rename(`${snapshotPath}.new`, snapshotPath);
    await syncRoot(disk);
  }
  await replaceFile(disk, logPath, "");
  return await disk.open(logPath, "a");
}

async function load(disk: VirtualFs, path: string, practice: LogPractice): Promise<LogRecord[]> {
  try {
    return decode(await disk.readFile(path), practice);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
}

/** Length of the payload, its CRC-32, and the payload: offset, id and value, a line each. */
function encode({ offset, id, value }: LogRecord): Buffer {
  const payload = Buffer.from(`${offset}\n${id}\n${value}`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(payload.length, 0);
  head.writeUInt32BE(crc32(payload), 4);
  return Buffer.concat([head, payload]);
}

/** The records up to the first that is not whole. */
function decode(bytes: Buffer, { checksum }: LogPractice): LogRecord[] {
  const records: LogRecord[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    const payload = bytes.subarray(at + 8, at + 8 + length);
    if (length === 0 || payload.length < length) break;
    if (checksum && crc32(payload) !== bytes.readUInt32BE(at + 4)) break;
    const [offset, id = "", value = ""] = payload.toString().split("\n");
    records.push({ offset: Number(offset), id, value });
    at += 8 + length;
  }
  return records;
}
