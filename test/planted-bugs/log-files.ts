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

/** A log in two files: a snapshot of all records up to some point, and those since then. */
export interface LogFiles {
  values(): string[];
  /** Appends the value, if none was appended under the id before; resolves with its offset. Not to be called while a call is under way. */
  append(id: string, value: string): Promise<number>;
}

interface LogRecord {
  readonly offset: number;
  readonly id: string;
  readonly value: string;
}

const snapshotPath = "/snapshot";
const logPath = "/log";
const recordsPerSnapshot = 12;

/** Recovers what the files hold, and makes all of it durable: a process that died may have left it in the page cache alone. */
export async function openLog({ disk, runtime }: SimulatedNode, practice: LogPractice): Promise<LogFiles> {
  const records = [...(await load(disk, snapshotPath, practice))];
  for (const record of await load(disk, logPath, practice)) {
    if (record.offset === records.length) records.push(record);
  }
  const offsets = new Map(records.map(({ id, offset }) => [id, offset]));
  let handle = await compact(disk, records, practice);
  let sinceSnapshot = 0;

  const write = async (record: LogRecord): Promise<void> => {
    await handle.appendFile(encode(record));
    if (practice.acknowledge === "written") void sleep(runtime, 20).then(() => handle.sync());
    else await sync(handle, practice);
  };

  return {
    values: () => records.map(({ value }) => value),
    async append(id, value) {
      const known = offsets.get(id);
      if (known !== undefined) return known;
      const record = { offset: records.length, id, value };
      await write(record);
      records.push(record);
      offsets.set(id, record.offset);
      if (++sinceSnapshot >= recordsPerSnapshot) {
        handle = await compact(disk, records, practice);
        sinceSnapshot = 0;
      }
      return record.offset;
    },
  };
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
