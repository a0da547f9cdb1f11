import assert from "node:assert/strict";
import * as realFs from "node:fs/promises";
import test from "node:test";
import { isAshlarError } from "../../core/index.ts";
import { createSeededChance } from "./testing/seeded-chance.ts";
import { createMachine } from "./testing/simulated-machine.ts";
import { VirtualDisk } from "./virtual-disk.ts";
import type { VirtualFs } from "./virtual-fs.ts";

test("a write to a full disk takes what fits and says how much, then fails with ENOSPC", async () => {
  const machine = createMachine(1, { faults: { capacity: 4 * 512 } });
  const file = await machine.run(machine.fs.open("/f", "w"));
  assert.equal((await machine.run(file.write(Buffer.alloc(4096, 1)))).bytesWritten, 3 * 512);
  await assert.rejects(machine.run(file.write("x")), { code: "ENOSPC", errno: -28, syscall: "write" });
  await assert.rejects(machine.run(machine.fs.mkdir("/d")), { code: "ENOSPC", syscall: "mkdir", path: "/d" });
  assert.equal((await machine.run(file.write("overwritten", 0))).bytesWritten, 11, "what is there can be overwritten");
  assert.equal(machine.disk.faultCounts.noSpace, 2);
  assert.equal(machine.disk.used, 4 * 512);
});

test("writeFile on a full disk fails and leaves a part", async () => {
  const machine = createMachine(1, { faults: { capacity: 1024 } });
  await assert.rejects(machine.run(machine.fs.writeFile("/f", Buffer.alloc(4096))), { code: "ENOSPC" });
  assert.equal((await machine.run(machine.fs.stat("/f"))).size, 512);
});

test("a removed file gives its space back once no handle has it", async () => {
  const machine = createMachine(1, { faults: { capacity: 2048 } });
  const file = await machine.run(machine.fs.open("/f", "w"));
  await machine.run(file.write(Buffer.alloc(1536)));
  await machine.run(file.sync());
  await machine.run(machine.fs.unlink("/f"));
  await assert.rejects(machine.run(machine.fs.writeFile("/g", "x")), { code: "ENOSPC" });
  await machine.run(file.close());
  await machine.run(machine.fs.writeFile("/g", Buffer.alloc(1536)));
  assert.equal(machine.disk.used, 2048);
});

test("a killed process gives back the space of removed files that it had open", async () => {
  const machine = createMachine(1);
  const file = await machine.run(machine.fs.open("/f", "w"));
  await machine.run(file.write(Buffer.alloc(1000)));
  await machine.run(machine.fs.unlink("/f"));
  const root = await machine.run(machine.fs.open("/", "r"));
  await machine.run(root.sync());
  assert.equal(machine.disk.used, 3 * 512);
  machine.session.kill();
  assert.equal(machine.disk.used, 0);
});

test("directories and files take a sector each, before a loss of power and after it", async () => {
  const machine = createMachine(1);
  await machine.run(machine.fs.mkdir("/d"));
  await machine.run(machine.fs.writeFile("/d/f", "x", { flush: true }));
  assert.equal(machine.disk.used, 3 * 512);
  machine.restart({ power: true });
  assert.equal(machine.disk.used, 3 * 512);
});

test("space stays accounted for over many files, crashes and losses of power", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const machine = createMachine(seed, { metadata: seed % 2 ? "posix" : "ordered" });
    for (let round = 0; round < 20; round++) {
      await machine.run(machine.fs.writeFile(`/f${round % 3}`, Buffer.alloc(round * 100), { flush: round % 2 === 0 }));
      await machine.run(machine.fs.rename(`/f${round % 3}`, `/g${round % 2}`));
      if (round % 5 === 4) machine.restart({ power: round % 2 === 0 });
    }
    await machine.run(machine.fs.rm("/", { recursive: true }).catch(() => undefined));
    await machine.run(machine.fs.open("/", "r").then((root) => root.sync()));
    assert.deepEqual(machine.disk.files(), []);
    assert.equal(machine.disk.used, 0, `seed ${seed}`);
  }
});

test("faults of reads, writes and changes of names are EIO and have no effect", async () => {
  const machine = createMachine(1);
  await machine.run(machine.fs.writeFile("/f", "content"));
  machine.disk.setFaults({ errorOnRead: 1, errorOnWrite: 1 });
  const attempts: [string, (fs: VirtualFs) => Promise<unknown>][] = [
    ["read", (fs) => fs.readFile("/f")],
    ["scandir", (fs) => fs.readdir("/")],
    ["open", (fs) => fs.writeFile("/f", "other")],
    ["rename", (fs) => fs.rename("/f", "/g")],
    ["unlink", (fs) => fs.unlink("/f")],
    ["mkdir", (fs) => fs.mkdir("/d")],
  ];
  for (const [syscall, attempt] of attempts)
    await assert.rejects(machine.run(attempt(machine.fs)), { code: "EIO", syscall });
  machine.disk.setFaults({ errorOnRead: 0, errorOnWrite: 0 });
  assert.equal(await machine.run(machine.fs.readFile("/f", "utf8")), "content");
  assert.deepEqual(await machine.run(machine.fs.readdir("/")), ["f"]);
  assert.equal(machine.disk.faultCounts.readErrors, 2);
  assert.equal(machine.disk.faultCounts.writeErrors, 4);
});

test("a short write is reported as short, and writeFile writes the rest", async () => {
  const machine = createMachine(1, { faults: { shortWrite: 1 } });
  const file = await machine.run(machine.fs.open("/f", "w"));
  const { bytesWritten } = await machine.run(file.write("0123456789"));
  assert.ok(bytesWritten < 10);
  assert.equal(await machine.run(machine.fs.readFile("/f", "utf8")), "0123456789".slice(0, bytesWritten));
  await machine.run(machine.fs.writeFile("/g", "0123456789"));
  assert.equal(await machine.run(machine.fs.readFile("/g", "utf8")), "0123456789");
});

test("silent corruption flips bits of durable sectors, for good and without an error", async () => {
  const machine = createMachine(1);
  await machine.run(machine.fs.writeFile("/f", Buffer.alloc(2048), { flush: true }));
  machine.disk.setFaults({ corrupt: 0.5 });
  const found = await machine.run(machine.fs.readFile("/f"));
  machine.disk.setFaults({ corrupt: 0 });
  const flipped = [...found].filter((byte) => byte !== 0);
  assert.ok(flipped.length > 0 && flipped.every((byte) => Number.isInteger(Math.log2(byte))));
  assert.deepEqual(await machine.run(machine.fs.readFile("/f")), found);
  assert.deepEqual(Buffer.from(machine.disk.durable("/f") ?? []), found);
  assert.equal(machine.disk.faultCounts.corruptSectors, flipped.length);
});

test("corruption of the medium does not show in what only the page cache has", async () => {
  const machine = createMachine(1);
  const file = await machine.run(machine.fs.open("/f", "w+"));
  await machine.run(file.write("a".repeat(512)));
  await machine.run(file.sync());
  await machine.run(file.write("b".repeat(512), 0));
  machine.disk.setFaults({ corrupt: 1, errorOnSync: 1 });
  assert.equal(await machine.run(machine.fs.readFile("/f", "utf8")), "b".repeat(512), "dirty");
  await assert.rejects(machine.run(file.sync()));
  assert.equal(await machine.run(machine.fs.readFile("/f", "utf8")), "b".repeat(512), "given up by a failed sync");
  assert.equal(machine.disk.faultCounts.corruptSectors, 0);
});

test("an operation takes its latency, and a slow one ten to a hundred times that", async () => {
  const machine = createMachine(1, { faults: { latency: [2, 3] } });
  const start = machine.runtime.clock.monotonic();
  let ended = 0;
  const stat = machine.fs.stat("/").then(() => {
    ended = machine.runtime.clock.monotonic() - start;
  });
  await machine.run(stat);
  assert.ok(ended >= 2 && ended <= 3, `${ended} ms`);
  machine.disk.setFaults({ slow: 1 });
  const later = machine.runtime.clock.monotonic();
  await machine.run(
    machine.fs.stat("/").then(() => {
      ended = machine.runtime.clock.monotonic() - later;
    }),
  );
  assert.ok(ended >= 20 && ended <= 300, `${ended} ms`);
});

test("nothing of a killed process settles or happens any more, and others go on", async () => {
  const machine = createMachine(1);
  const other = machine.disk.mount(machine.runtime);
  const file = await machine.run(machine.fs.open("/f", "w"));
  const closed = await machine.run(machine.fs.open("/f", "r"));
  await machine.run(closed.close());
  let settled = 0;
  const count = () => {
    settled++;
  };
  const watch = (work: Promise<unknown>) => void work.then(count, count);
  watch(file.write("late"));
  watch(file.sync());
  watch(machine.fs.rename("/f", "/g"));
  machine.session.kill();
  machine.session.kill();
  assert.equal(machine.session.isAlive, false);
  watch(file.write("after"));
  watch(file.sync());
  watch(file.close());
  watch(closed.close());
  watch(closed.stat());
  watch(machine.fs.writeFile("/h", "after"));
  watch(machine.fs.stat("/missing"));
  watch(machine.fs.open("/f", "no flag"));
  watch(file.writeFile(""));
  await machine.runtime.advance(60_000);
  assert.equal(settled, 0);
  assert.deepEqual(machine.disk.files(), ["/f"]);
  assert.equal(await machine.run(other.fs.readFile("/f", "utf8")), "");
});

test("close waits for the calls under way, refuses later ones with EBADF, and may be repeated", async () => {
  const machine = createMachine(1, { faults: { latency: [5, 5] } });
  const file = await machine.run(machine.fs.open("/f", "w"));
  const order: string[] = [];
  const slow = file.write("content").then(() => order.push("write"));
  machine.disk.setFaults({ latency: [1, 1] });
  const work = [slow, file.close().then(() => order.push("close")), file.close()];
  await assert.rejects(machine.run(file.write("more")), { code: "EBADF" });
  await machine.run(Promise.all(work));
  assert.deepEqual(order, ["write", "close"]);
  assert.equal(file.fd, -1);
  await machine.run(file.close());
});

test("a handle takes views of bytes and text, and parts inside their buffers", async () => {
  const machine = createMachine(1);
  const file = await machine.run(machine.fs.open("/f", "w+"));
  await machine.run(file.write(new Uint16Array([0x4241, 0x4443, 0x4645]).subarray(1)));
  await machine.run(file.write(Buffer.from("xxGHxx"), { offset: 2, length: 2 }));
  await machine.run(file.write("é", null, "latin1"));
  assert.equal(await machine.run(machine.fs.readFile("/f", "latin1")), "CDEFGHé");
  await assert.rejects(machine.run(file.write(Buffer.alloc(4), 2, 3)), {
    name: "RangeError",
    code: "ERR_OUT_OF_RANGE",
  });
  await assert.rejects(machine.run(file.read(Buffer.alloc(4), 5)), { name: "RangeError", code: "ERR_OUT_OF_RANGE" });
  await assert.rejects(machine.run(file.writeFile(["a", "b"] as never)), { code: "ERR_INVALID_ARG_TYPE" });
});

test("mkdtemp makes a directory of a fresh name", async () => {
  const machine = createMachine(1);
  const first = await machine.run(machine.fs.mkdtemp("/tmp-"));
  const second = await machine.run(machine.fs.mkdtemp("/tmp-"));
  assert.match(first, /^\/tmp-[A-Za-z0-9]{6}$/);
  assert.notEqual(first, second);
  assert.ok((await machine.run(machine.fs.stat(first))).isDirectory());
});

test("stat tells times by the process's clock, and utimes sets them", async () => {
  const machine = createMachine(1);
  const before = machine.runtime.clock.now();
  await machine.run(machine.fs.writeFile("/f", "x"));
  const { mtimeMs, mtime } = await machine.run(machine.fs.stat("/f"));
  assert.ok(mtimeMs >= before && mtimeMs <= machine.runtime.clock.now());
  assert.equal(mtime.getTime(), Math.floor(mtimeMs));
  await machine.run(machine.fs.utimes("/f", 5, 7));
  assert.equal((await machine.run(machine.fs.stat("/f"))).mtimeMs, 7000);
});

test("the file system has the types of node:fs/promises where that is possible", async () => {
  const machine = createMachine(1);
  type Shared = "rename" | "link" | "unlink" | "rm" | "rmdir" | "access" | "truncate" | "copyFile" | "utimes";
  const asNode: Pick<typeof realFs, Shared> = machine.fs;
  const asOurs: VirtualFs = realFs;
  for (const name of Object.keys(machine.fs)) assert.equal(typeof asOurs[name as keyof VirtualFs], "function", name);
  await machine.run(machine.fs.writeFile("/f", "x").then(() => asNode.rename("/f", "/g")));
  assert.deepEqual(machine.disk.files(), ["/g"]);
});

test("bad options and bad flags are refused", () => {
  const chance = createSeededChance(1);
  for (const options of [
    { sectorSize: 500 },
    { metadata: "none" as never },
    { faults: { tear: 2 } },
    { faults: { latency: [2, 1] as const } },
    { faults: { capacity: Number.NaN } },
  ])
    assert.throws(
      () => new VirtualDisk(chance, options),
      (error) => isAshlarError(error, "INVALID_ARGUMENT"),
    );
});

test("arguments that Node refuses are refused with Node's codes, before anything happens", async () => {
  const { fs, disk } = createMachine(1);
  await assert.rejects(fs.open("/f", "q"), { name: "TypeError", code: "ERR_INVALID_ARG_VALUE" });
  await assert.rejects(fs.readFile("/a\0b"), { name: "TypeError", code: "ERR_INVALID_ARG_VALUE" });
  await assert.rejects(fs.readFile(3 as never), { name: "TypeError", code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(fs.mkdir(undefined as never), { name: "TypeError", code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(fs.readdir("/", { recursive: true } as never), (error) => isAshlarError(error, "UNSUPPORTED"));
  await assert.rejects(fs.writeFile("/f", 7 as never), { name: "TypeError", code: "ERR_INVALID_ARG_TYPE" });
  await assert.rejects(fs.open("/f", "as"), (error) => isAshlarError(error, "UNSUPPORTED"));
  assert.deepEqual(disk.files(), []);
});
