import { type Runtime, toBase64Url } from "../../core/index.ts";
import type { RawAppend, RawCommit, RawCommitted, RawMutation, RawOutcome, RawSum } from "../driver.ts";
import { blockOverhead, packRecords } from "./log-records.ts";
import { encodeNewRow, newRowOverhead, type TopicKeys, topicKeys } from "./topic-keys.ts";

/** A commit in which appends have become mutations of keys, and the way back for its outcome. */
export interface Translation {
  readonly commit: RawCommit;
  readonly appends: readonly { readonly keys: TopicKeys; readonly append: RawAppend }[];
  outcome(outcome: RawOutcome): RawOutcome;
}

/** Bytes of the largest row that several records share. One record may have a larger row to itself. */
export const rowBytes: number = 64 * 1024;

/** Turns appends into mutations: each into one `add` to the topic's count, whose sum tells the offset, and one new row (large ones: several). */
export class AppendTranslator {
  /** Tells the new rows of this client from those of all others. */
  readonly #client: string;
  #rows = 0;

  constructor(runtime: Pick<Runtime, "random">) {
    this.#client = toBase64Url(runtime.random.bytes(12));
  }

  /** @param time the engine's clock */
  translate(commit: RawCommit, time: number): Translation {
    const mutations: RawMutation[] = [];
    /** Which of the caller's mutations each one comes from. */
    const origins: number[] = [];
    const appends: Translation["appends"][number][] = [];
    let { bytes } = commit;
    for (const [origin, mutation] of commit.mutations.entries()) {
      if (mutation.kind === "append") {
        const keys = topicKeys(mutation.topic);
        appends.push({ keys, append: mutation });
        bytes += this.#append(mutation, keys, time, mutations);
      } else {
        mutations.push(mutation);
      }
      while (origins.length < mutations.length) origins.push(origin);
    }
    return {
      commit: { checks: commit.checks, mutations, bytes },
      appends,
      outcome: (outcome) => toCallersOutcome(outcome, commit, origins),
    };
  }

  /** @returns bytes that keys and values take more than the records alone */
  #append({ records }: RawAppend, keys: TopicKeys, time: number, mutations: RawMutation[]): number {
    const sum = { floor: undefined, ceiling: undefined, ttl: undefined };
    mutations.push({ kind: "add", key: keys.count, delta: records.length, ...sum });
    let more = keys.count.length - keys.topic.length;
    let { name } = keys;
    for (let from = 0; from < records.length; ) {
      const to = endOfBlock(records, from);
      const value = encodeNewRow(name, packRecords(records.slice(from, to), time));
      const key = keys.newRow(this.#client, this.#rows++);
      mutations.push({ kind: "set", key, value, ttl: undefined });
      more += key.length + newRowOverhead + name.length + blockOverhead(to - from);
      name = name.subarray(0, 0);
      from = to;
    }
    return more;
  }
}

/** The index after the last record that shares a block with the one at `from`. */
function endOfBlock(records: readonly Uint8Array[], from: number): number {
  let size = newRowOverhead + blockOverhead(0);
  for (let to = from; to < records.length; to++) {
    size += (records[to] as Uint8Array).length + 4;
    if (size > rowBytes && to > from) return to;
  }
  return records.length;
}

function toCallersOutcome(outcome: RawOutcome, { mutations }: RawCommit, origins: readonly number[]): RawOutcome {
  if (outcome.ok) return split(outcome, mutations);
  return outcome.reason === "check" ? outcome : { ...outcome, index: origins[outcome.index] as number };
}

/** Sorts the sums of the caller's adds from those of our counts. */
function split(committed: RawCommitted, mutations: readonly RawMutation[]): RawCommitted {
  const adds: RawSum[] = [];
  const offsets: number[] = [];
  let next = 0;
  for (const mutation of mutations) {
    if (mutation.kind === "add") adds.push(committed.adds[next++] as RawSum);
    else if (mutation.kind === "append")
      offsets.push((committed.adds[next++] as RawSum).value - mutation.records.length);
  }
  return { ok: true, revision: committed.revision, adds, offsets };
}
