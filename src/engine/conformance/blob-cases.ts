import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { equalBytes } from "../../core/index.ts";
import type { Engine } from "../contract.ts";
import { during, repeat } from "./during.ts";
import { numbers } from "./entries.ts";
import { abortedSignal, failsBy, failsWith } from "./expecting.ts";
import { facts } from "./fact.ts";

/** Bytes without a pattern that a chunk could hide, the same for the same seed. */
function bytesOf(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed | 1;
  for (let i = 0; i < size; i++) {
    state = Math.imul(state, 0x19660d) + 0x3c6ef35f;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Compared without printing megabytes when it fails. */
function same(found: Uint8Array | undefined, expected: Uint8Array, what: string): void {
  assert.ok(
    found !== undefined && equalBytes(found, expected),
    `${what}: ${found?.length} bytes, expected ${expected.length} or others`,
  );
}

async function read(
  engine: Engine,
  key: string,
  range?: { start: number; end?: number },
): Promise<Uint8Array | undefined> {
  return await (await engine.blob.get([key], range && { range }))?.bytes();
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

/** Around every size at which an engine may cut. */
const sizes = [
  0,
  1,
  1023,
  ...[14, 15, 16, 17, 18, 19, 20].flatMap((bits) => [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]),
  3_000_007,
];

const storing = facts("blob", {
  "an absent object is undefined": async ({ engine }) => {
    assert.equal(await engine.blob.get(["b"]), undefined);
    assert.equal(await engine.blob.head(["b"]), undefined);
    assert.equal(await engine.blob.delete(["b"]), false);
  },

  "objects of all sizes come back byte for byte": async ({ engine, other }) => {
    for (const size of sizes) {
      const data = bytesOf(size, size);
      const info = await engine.blob.put(["b"], data);
      assert.equal(info.size, size);
      assert.equal(info.sha256, sha256(data));
      same(await read(other, "b"), data, `an object of ${size} bytes`);
    }
  },

  "an object comes with its description": async ({ engine, other }) => {
    const before = await engine.now();
    const data = bytesOf(1000);
    const metadata = { "content-type": "image/png", "": "empty", umlaut: "äöü\u0000😀" };
    const info = await engine.blob.put(["dir", 1, "b"], data, { metadata });
    const after = await engine.now();
    const { etag, modified, ...rest } = info;
    assert.deepEqual(rest, { key: ["dir", 1, "b"], size: 1000, sha256: sha256(data), metadata });
    assert.ok(typeof etag === "string" && etag.length > 0);
    // A client may read a server's clock from its own, by an offset that it has measured.
    const slack = engine.guarantees.clock === "server" ? 1000 : 0;
    assert.ok(
      modified >= Math.floor(before) - slack && modified <= Math.ceil(after) + slack,
      `${modified} is not within ${before} and ${after}`,
    );
    assert.deepEqual(await other.blob.head(["dir", 1, "b"]), info);
    const { body, bytes, ...stored } = (await other.blob.get(["dir", 1, "b"])) ?? {};
    assert.deepEqual({ ...stored }, info);
    assert.deepEqual((await engine.blob.put(["plain"], data)).metadata, {});
  },

  "a put replaces the object and its description": async ({ engine }) => {
    const first = await engine.blob.put(["b"], bytesOf(100), { metadata: { a: "1" } });
    const second = await engine.blob.put(["b"], bytesOf(100));
    assert.notEqual(second.etag, first.etag, "the etag changes with each put, be it of the same bytes");
    const { etag, modified, ...rest } = second;
    assert.deepEqual(rest, { key: ["b"], size: 100, sha256: first.sha256, metadata: {} });
    await engine.blob.put(["b"], bytesOf(300_000, 2));
    await engine.blob.put(["b"], bytesOf(10, 3));
    same(await read(engine, "b"), bytesOf(10, 3), "a small object after a large one");
  },

  "bytes may come as a stream of any pieces": async ({ engine }) => {
    const data = bytesOf(400_001);
    for (const size of [7777, 65_536, 400_001]) {
      const info = await engine.blob.put(["b"], pieces(data, size));
      assert.deepEqual([info.size, info.sha256], [data.length, sha256(data)]);
      same(await read(engine, "b"), data, `pieces of ${size} bytes`);
    }
    await engine.blob.put(["b"], ReadableStream.from(pieces(data, 100_000)));
    same(await read(engine, "b"), data, "a ReadableStream");
    await engine.blob.put(["b"], pieces(new Uint8Array(0), 1));
    same(await read(engine, "b"), new Uint8Array(0), "a stream without pieces");
    const withEmpty = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(0);
      yield* pieces(data, 300_000);
      yield new Uint8Array(0);
    };
    await engine.blob.put(["b"], withEmpty());
    same(await read(engine, "b"), data, "empty pieces among others");
  },

  "the bytes given may be changed after the put": async ({ engine }) => {
    const data = bytesOf(100);
    await engine.blob.put(["b"], data);
    data.fill(0);
    same(await read(engine, "b"), bytesOf(100), "what was stored");
  },

  "the body is a stream of the bytes": async ({ engine }) => {
    const data = bytesOf(1_500_000);
    await engine.blob.put(["b"], data);
    const stored = await engine.blob.get(["b"]);
    const parts: Uint8Array[] = await Array.fromAsync(stored?.body ?? []);
    assert.ok(parts.length > 1, "a large object comes in pieces");
    same(Buffer.concat(parts), data, "the pieces together");
    const abandoned = await engine.blob.get(["b"]);
    await abandoned?.body.cancel();
    for await (const _ of (await engine.blob.get(["b"]))?.body ?? []) break;
  },

  "deleting tells whether there was an object": async ({ engine, other }) => {
    await engine.blob.put(["b"], bytesOf(10));
    assert.equal(await other.blob.delete(["b"]), true);
    assert.equal(await engine.blob.delete(["b"]), false);
    assert.equal(await engine.blob.get(["b"]), undefined);
    assert.deepEqual(await Array.fromAsync(engine.blob.list({})), []);
  },

  "objects, keys and topics of one name are three things": async ({ engine, topic }) => {
    await engine.blob.put(["x"], bytesOf(10));
    await engine.kv.set(["x"], 1);
    await engine.log.append(topic("x"), [1]);
    await engine.kv.delete(["x"]);
    same(await read(engine, "x"), bytesOf(10), "the object");
    assert.deepEqual(await Array.fromAsync(engine.kv.list({})), [], "objects show no keys");
  },
});

const ranges = facts("blob", {
  "a range gives its bytes, across whatever cuts": async ({ engine, chance }) => {
    const data = bytesOf(1_000_003);
    const info = await engine.blob.put(["b"], data);
    const bounds: [number, number?][] = [
      [0],
      [0, 1],
      [0, 1_000_003],
      [1, 2],
      [999_999],
      [1_000_002],
      [1_000_002, 1_000_003],
      [65_535, 65_537],
    ];
    for (const _ of numbers(20)) {
      const start = chance.below(1_000_003);
      bounds.push([start, start + chance.below(1_000_003 - start) + 1]);
    }
    for (const [start, end] of bounds) {
      const range = end === undefined ? { start } : { start, end };
      same(await read(engine, "b", range), data.slice(start, end), `bytes ${start} to ${end}`);
    }
    const part = await engine.blob.get(["b"], { range: { start: 5, end: 10 } });
    assert.deepEqual(
      [part?.size, part?.sha256, part?.etag],
      [info.size, info.sha256, info.etag],
      "the description is of the whole",
    );
    await part?.body.cancel();
  },

  "a range that starts at or after the end is refused": async ({ engine }) => {
    await engine.blob.put(["b"], bytesOf(10));
    for (const range of [{ start: 10 }, { start: 11 }, { start: 10, end: 12 }]) {
      await failsWith("INVALID_ARGUMENT", () => read(engine, "b", range), "range");
    }
    await engine.blob.put(["empty"], bytesOf(0));
    await failsWith("INVALID_ARGUMENT", () => read(engine, "empty", { start: 0 }), "range");
    assert.equal(await read(engine, "missing", { start: 100 }), undefined);
  },
});

const conditions = facts("blob", {
  "a put with an etag replaces that object alone": async ({ engine, other }) => {
    const first = await engine.blob.put(["b"], bytesOf(10));
    const second = await other.blob.put(["b"], bytesOf(20), { ifMatch: first.etag });
    await failsWith("CONFLICT", () => engine.blob.put(["b"], bytesOf(30), { ifMatch: first.etag }));
    assert.deepEqual(await engine.blob.head(["b"]), second);
    await failsWith("CONFLICT", () => engine.blob.put(["missing"], bytesOf(30), { ifMatch: first.etag }));
    assert.equal(await engine.blob.head(["missing"]), undefined);
  },

  "a put with a null etag makes a new object alone": async ({ engine }) => {
    const first = await engine.blob.put(["b"], bytesOf(10), { ifMatch: null });
    await failsWith("CONFLICT", () => engine.blob.put(["b"], bytesOf(20), { ifMatch: null }));
    assert.deepEqual(await engine.blob.head(["b"]), first);
    await engine.blob.delete(["b"]);
    await engine.blob.put(["b"], bytesOf(20), { ifMatch: null });
  },

  "a delete with an etag removes that object alone": async ({ engine }) => {
    const first = await engine.blob.put(["b"], bytesOf(10));
    const second = await engine.blob.put(["b"], bytesOf(20));
    await failsWith("CONFLICT", () => engine.blob.delete(["b"], { ifMatch: first.etag }));
    assert.deepEqual(await engine.blob.head(["b"]), second);
    assert.equal(await engine.blob.delete(["b"], { ifMatch: second.etag }), true);
  },

  "of several conditional puts one wins": async ({ engine, other }) => {
    for (const round of numbers(4)) {
      const data = numbers(6).map((i) => bytesOf(1000 + i, round * 10 + i));
      const { etag } = await engine.blob.put(["b", round], bytesOf(5));
      const put = (i: number) =>
        (i % 2 ? engine : other).blob.put(["b", round], data[i] as Uint8Array, { ifMatch: etag });
      const outcomes = await Promise.allSettled(numbers(6).map(put));
      const winners = outcomes.flatMap(({ status }, i) => (status === "fulfilled" ? [i] : []));
      assert.equal(winners.length, 1);
      same(
        await (await engine.blob.get(["b", round]))?.bytes(),
        data[winners[0] as number] as Uint8Array,
        "the winner's bytes",
      );
    }
  },
});

const replacing = facts("blob", {
  "readers see the old object or the new one, never a mixture": async ({ engine, other, runtime }) => {
    const versions = numbers(4).map((i) => new Uint8Array(300_000 + i * 70_000).fill(i + 1));
    await engine.blob.put(["b"], versions[0] as Uint8Array);
    const hashes = new Set(versions.map(sha256));
    const putting = Promise.all(
      [engine, other].map((client, which) =>
        repeat(6, (i) => client.blob.put(["b"], versions[(i * 2 + which) % 4] as Uint8Array)),
      ),
    );
    await during(runtime, putting, async () => {
      const stored = await engine.blob.get(["b"]);
      assert.ok(stored, "the object was absent for a moment");
      const bytes = await stored.bytes();
      assert.equal(sha256(bytes), stored.sha256, "the bytes are not those of the description");
      assert.ok(hashes.has(stored.sha256));
    });
  },

  "who reads an object while it is replaced gets the whole old one": async ({ engine, other }) => {
    const old = bytesOf(2_000_000, 1);
    await engine.blob.put(["b"], old);
    const parts: Uint8Array[] = [];
    for await (const part of (await engine.blob.get(["b"]))?.body ?? []) {
      parts.push(part);
      if (parts.length === 1) await other.blob.put(["b"], bytesOf(2_000_000, 2));
    }
    same(Buffer.concat(parts), old, "what the reader got");
    same(await read(engine, "b"), bytesOf(2_000_000, 2), "the new object");
  },

  "a put whose source fails leaves the old object, and fails by the source's error": async ({ engine }) => {
    const old = await engine.blob.put(["b"], bytesOf(1000));
    const error = new Error("the source broke");
    for (const key of ["b", "new"]) {
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield bytesOf(700_000);
        throw error;
      };
      await failsBy(error, () => engine.blob.put([key], broken()));
    }
    assert.deepEqual(await engine.blob.head(["b"]), old);
    same(await read(engine, "b"), bytesOf(1000), "the old object");
    assert.equal(await engine.blob.head(["new"]), undefined);
    assert.deepEqual((await Array.fromAsync(engine.blob.list({}))).length, 1);
  },

  "an aborted put leaves the old object, and fails by the reason": async ({ engine }) => {
    const old = await engine.blob.put(["b"], bytesOf(1000));
    const controller = new AbortController();
    const reason = new Error("not any more");
    let released = false;
    const source = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for (const i of numbers(50)) {
          yield bytesOf(100_000, i);
          if (i === 20) controller.abort(reason);
        }
      } finally {
        released = true;
      }
    };
    await failsBy(reason, () => engine.blob.put(["b"], source(), { signal: controller.signal }));
    assert.ok(released, "the source is told that nobody reads on");
    assert.deepEqual(await engine.blob.head(["b"]), old);
    same(await read(engine, "b"), bytesOf(1000), "the old object");
  },

  "calls whose signal is aborted fail with the reason": async ({ engine }) => {
    const { signal, reason } = abortedSignal();
    await failsBy(reason, () => engine.blob.put(["b"], bytesOf(10), { signal }));
    await failsBy(reason, () => engine.blob.get(["b"], { signal }));
    await failsBy(reason, () => engine.blob.head(["b"], { signal }));
    await failsBy(reason, () => engine.blob.delete(["b"], { signal }));
    await failsBy(reason, () => Array.fromAsync(engine.blob.list({}, { signal })));
    assert.equal(await engine.blob.head(["b"]), undefined);
  },

  "an abort ends a body with its reason": async ({ engine }) => {
    await engine.blob.put(["b"], bytesOf(3_000_000));
    const controller = new AbortController();
    const reason = new Error("seen enough");
    const stored = await engine.blob.get(["b"], { signal: controller.signal });
    await failsBy(reason, async () => {
      for await (const _ of stored?.body ?? []) controller.abort(reason);
    });
  },
});

const listing = facts("blob", {
  "a list gives the descriptions in key order, by range, limit and direction": async ({ engine }) => {
    const keys = [["a"], ["a", 1], ["a", 2], ["a", 10], ["b", "x"]];
    for (const key of keys.toReversed())
      await engine.blob.put(key, bytesOf(10), { metadata: { at: String(key.at(-1)) } });
    const infos = await Array.fromAsync(engine.blob.list({}));
    assert.deepEqual(
      infos.map(({ key }) => key),
      keys,
    );
    for (const info of infos) assert.deepEqual(info, await engine.blob.head(info.key));
    const list = async (...args: Parameters<Engine["blob"]["list"]>) =>
      (await Array.fromAsync(engine.blob.list(...args))).map(({ key }) => key);
    assert.deepEqual(await list({ prefix: ["a"] }), keys.slice(1, 4));
    assert.deepEqual(await list({ prefix: ["a"] }, { limit: 2, reverse: true }), [
      ["a", 10],
      ["a", 2],
    ]);
    assert.deepEqual(await list({ start: ["a", 2], end: ["b"] }), keys.slice(2, 4));
    assert.deepEqual(await list({ key: ["b", "x"] }), [["b", "x"]]);
    assert.deepEqual(await list({}, { limit: 0 }), []);
  },

  "metadata is text of at most 8 KiB": async ({ engine }) => {
    const put = (metadata: unknown) =>
      engine.blob.put(["b"], bytesOf(1), { metadata: metadata as Record<string, string> });
    const largest = { text: "x".repeat(8 * 1024 - 50) };
    assert.deepEqual((await put(largest)).metadata, largest);
    await failsWith("LIMIT", () => put({ text: "x".repeat(8 * 1024 + 1) }), "metadata");
    for (const bad of [{ a: 1 }, "text", [1], { a: undefined }])
      await failsWith("INVALID_ARGUMENT", () => put(bad), "metadata");
    assert.deepEqual((await engine.blob.head(["b"]))?.metadata, largest);
  },
});

export const blobFacts = [...storing, ...ranges, ...conditions, ...replacing, ...listing];
