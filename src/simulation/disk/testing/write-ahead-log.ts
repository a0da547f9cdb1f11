import { crc32 } from "node:zlib";
import type { VirtualFileHandle, VirtualFs } from "../virtual-fs.ts";

/** Where a log may go wrong. */
export interface LogRules {
  /** When an append syncs: before it is acknowledged, afterwards, or never. */
  readonly sync: "before" | "after" | "never";
  /** What a failed sync means: the process gives up, or it tries again until the sync succeeds. */
  readonly syncError: "stop" | "retry";
}

export const correctLog: LogRules = { sync: "before", syncError: "stop" };

const headerBytes = 8;

/** An append-only file of records, each with its length and checksum before it. */
export class WriteAheadLog {
  readonly #file: VirtualFileHandle;
  readonly #rules: LogRules;
  #end: number;

  private constructor(file: VirtualFileHandle, rules: LogRules, end: number) {
    this.#file = file;
    this.#rules = rules;
    this.#end = end;
  }

  /**
   * Reads the records up to the first that is not whole. They are copied to a new file: after a failed sync the page cache
   * may show what the medium does not have, and there is no asking.
   */
  static async recover(fs: VirtualFs, rules: LogRules): Promise<{ log: WriteAheadLog; records: Buffer[] }> {
    const content = await fs.readFile("/log").catch(emptyIfMissing);
    const records = parse(content);
    const whole = Buffer.concat(records.map(frame));
    await fs.writeFile("/log.new", whole, { flush: true });
    await fs.rename("/log.new", "/log");
    await using root = await fs.open("/", "r");
    await root.sync();
    return { log: new WriteAheadLog(await fs.open("/log", "r+"), rules, whole.length), records };
  }

  /** Resolves when the record is safe, as far as the rules go. */
  async append(record: Buffer): Promise<void> {
    const bytes = frame(record);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#end + done);
      done += bytesWritten;
    }
    this.#end += bytes.length;
    if (this.#rules.sync === "before") await this.#sync();
    else if (this.#rules.sync === "after") this.#sync().catch(() => undefined);
  }

  async #sync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      if (this.#rules.syncError === "stop") throw error;
      await this.#sync();
    }
  }
}

function frame(record: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(record.length, 0);
  header.writeUInt32BE(crc32(record, record.length), 4);
  return Buffer.concat([header, record]);
}

function parse(content: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at + headerBytes <= content.length; ) {
    const length = content.readUInt32BE(at);
    const record = content.subarray(at + headerBytes, at + headerBytes + length);
    if (record.length < length || crc32(record, length) !== content.readUInt32BE(at + 4)) break;
    records.push(record);
    at += headerBytes + length;
  }
  return records;
}

function emptyIfMissing(error: NodeJS.ErrnoException): Buffer {
  if (error.code === "ENOENT") return Buffer.alloc(0);
  throw error;
}
