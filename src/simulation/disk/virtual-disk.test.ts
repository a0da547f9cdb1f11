import assert from "node:assert/strict";
import test from "node:test";
import { createFixedChance } from "./testing/seeded-chance.ts";
import { createMachine, type SimulatedMachine } from "./testing/simulated-machine.ts";
import type { VirtualFileHandle } from "./virtual-fs.ts";

const loseAll = { keepUnsynced: 0, tear: 0 };
const keepAll = { keepUnsynced: 1, tear: 0 };

/** Opens, writes and, if wanted, syncs; the handle stays open. */
async function put(machine: SimulatedMachine, path: string, text: string, sync = false): Promise<VirtualFileHandle> {
  const file = await machine.fs.open(path, "w");
  await file.write(text);
  if (sync) await file.sync();
  return file;
}

/** The content of every file, by path. */
async function contents(machine: SimulatedMachine): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of machine.disk.files()) found[path] = await machine.fs.readFile(path, "latin1");
  return found;
}

async function syncDirectory(machine: SimulatedMachine, path: string): Promise<void> {
  await using directory = await machine.fs.open(path, "r");
  await directory.sync();
}

function powerLoss(machine: SimulatedMachine): Promise<Record<string, string>> {
  machine.restart({ power: true });
  return machine.run(contents(machine));
}

test("what was not synced is gone after a loss of power that takes all it may", async () => {
  const machine = createMachine(1, { faults: loseAll });
  await machine.run(put(machine, "/log", "entry"));
  assert.equal(await machine.run(machine.fs.readFile("/log", "utf8")), "entry");
  assert.deepEqual(await powerLoss(machine), {});
});

test("a crash of the process alone keeps the page cache", async () => {
  const machine = createMachine(1, { faults: loseAll });
  await machine.run(put(machine, "/log", "entry"));
  machine.restart({ power: false });
  assert.deepEqual(await machine.run(contents(machine)), { "/log": "entry" });
  assert.deepEqual(await powerLoss(machine), {}, "and does not make it durable");
});

for (const method of ["sync", "datasync"] as const) {
  test(`${method} makes content, size and the name of a new file durable`, async () => {
    const machine = createMachine(1, { faults: loseAll });
    const file = await machine.run(put(machine, "/log", "a".repeat(1000)));
    await machine.run(file[method]());
    await machine.run(file.write("b", 1000));
    assert.deepEqual(Buffer.from(machine.disk.durable("/log") ?? []).toString(), "a".repeat(1000));
    assert.deepEqual(await powerLoss(machine), { "/log": "a".repeat(1000) });
  });
}

test("writeFile with flush is durable once it has ended", async () => {
  const machine = createMachine(1, { faults: loseAll });
  await machine.run(machine.fs.writeFile("/log", "entry", { flush: true }));
  assert.deepEqual(await powerLoss(machine), { "/log": "entry" });
});

test("a sync covers what was written before it was called, not what comes while it runs", async () => {
  const machine = createMachine(1, { faults: { ...loseAll, latency: [1, 1] } });
  const file = await machine.run(put(machine, "/log", "aaaa", true));
  await machine.run(file.write("b", 0));
  const slow = file.sync();
  machine.disk.setFaults({ latency: [0, 0] });
  await machine.run(file.write("c", 1));
  await machine.run(slow);
  assert.equal(await machine.run(machine.fs.readFile("/log", "utf8")), "bcaa");
  assert.deepEqual(await powerLoss(machine), { "/log": "baaa" });
});

test("growth while a sync runs is for the next sync", async () => {
  const machine = createMachine(1, { faults: { ...loseAll, latency: [10, 10] } });
  const file = await machine.run(put(machine, "/log", "a".repeat(512)));
  const slow = file.sync();
  machine.disk.setFaults({ latency: [1, 1] });
  await machine.run(file.write("b".repeat(512)));
  await machine.run(slow);
  assert.equal(machine.disk.durable("/log")?.length, 512);
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/log": "a".repeat(512) + "b".repeat(512) });
});

test("an older sync that ends last does not undo a younger one", async () => {
  const machine = createMachine(1, { faults: { ...loseAll, latency: [10, 10] } });
  const file = await machine.run(put(machine, "/log", "old"));
  const older = file.sync();
  machine.disk.setFaults({ latency: [1, 1] });
  await machine.run(file.write("newer", 0));
  await machine.run(file.sync());
  await machine.run(older);
  assert.deepEqual(await powerLoss(machine), { "/log": "newer" });
});

test("each unsynced sector meets its own fate", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const machine = createMachine(seed, { faults: { keepUnsynced: 0.5, tear: 0 }, sectorSize: 16 });
    const file = await machine.run(put(machine, "/f", "-".repeat(48), true));
    await machine.run(file.write("+".repeat(48), 0));
    const { "/f": content = "" } = await powerLoss(machine);
    seen.add(
      [0, 16, 32]
        .map((at) => content.slice(at, at + 16))
        .map((sector) => sector[0])
        .join(""),
    );
    assert.match(content, /^(\+{16}|-{16}){3}$/, "no sector is mixed unless torn");
  }
  assert.equal(seen.size, 8, "all combinations occur");
});

test("a torn sector is new in one part and old in the other", async () => {
  for (const side of [0, 1]) {
    const chance = createFixedChance({ "disk tear at": 99, "disk tear side": side });
    const machine = createMachine(chance, { faults: { keepUnsynced: 1, tear: 1 } });
    const file = await machine.run(put(machine, "/f", "-".repeat(512), true));
    await machine.run(file.write("+".repeat(512), 0));
    const [first, second] = side === 0 ? ["+", "-"] : ["-", "+"];
    assert.deepEqual(await powerLoss(machine), { "/f": first.repeat(100) + second.repeat(412) });
    assert.equal(machine.disk.faultCounts.tornSectors, 1);
  }
});

test("a file that grew may end at any sector, with zeros where content was lost", async () => {
  const sizes = new Set<number>();
  let zeros = 0;
  for (let seed = 0; seed < 200; seed++) {
    const machine = createMachine(seed, { faults: { keepUnsynced: 0.5, tear: 0 }, sectorSize: 16 });
    const file = await machine.run(put(machine, "/f", "a".repeat(8), true));
    await machine.run(file.write("b".repeat(56), 8));
    const { "/f": content = "" } = await powerLoss(machine);
    sizes.add(content.length);
    if (content.includes("\0")) zeros++;
    assert.match(content, /^a{8}/, "what was synced stays");
  }
  assert.deepEqual(
    [...sizes].sort((a, b) => a - b),
    [8, 16, 32, 48, 64],
  );
  assert.ok(zeros > 0);
});

test("a truncation that was not synced may be undone, and one that was synced may not", async () => {
  const machine = createMachine(1, { faults: loseAll });
  const file = await machine.run(put(machine, "/f", "a".repeat(2000), true));
  await machine.run(file.truncate(700));
  assert.equal((await powerLoss(machine))["/f"]?.length, 2000);
  const again = await machine.run(machine.fs.open("/f", "r+"));
  await machine.run(again.truncate(700));
  await machine.run(again.sync());
  await machine.run(again.truncate(2000));
  await machine.run(again.sync());
  assert.deepEqual(await powerLoss(machine), { "/f": "a".repeat(700) + "\0".repeat(1300) });
});

test("a truncation that is undone brings the old content back, not zeros", async () => {
  const chance = createFixedChance({ "disk kept size": false, "disk kept sector": true });
  const machine = createMachine(chance);
  const file = await machine.run(put(machine, "/f", "a".repeat(2000), true));
  await machine.run(file.truncate(0));
  assert.deepEqual(await powerLoss(machine), { "/f": "a".repeat(2000) });
});

test("bytes that reached the medium beyond a size that did not are never seen", async () => {
  const chance = createFixedChance({ "disk kept size": false, "disk kept sector": true });
  const machine = createMachine(chance);
  const file = await machine.run(put(machine, "/f", "a".repeat(8), true));
  await machine.run(file.write("b".repeat(8), 8));
  assert.deepEqual(await powerLoss(machine), { "/f": "a".repeat(8) });
  await machine.run(machine.fs.truncate("/f", 16));
  assert.equal(await machine.run(machine.fs.readFile("/f", "latin1")), "a".repeat(8) + "\0".repeat(8));
});

test("a truncation while a sync runs is not undone by what the sync writes", async () => {
  const machine = createMachine(1, { faults: { ...loseAll, latency: [10, 10] } });
  const file = await machine.run(put(machine, "/f", "a".repeat(2000)));
  const slow = file.sync();
  machine.disk.setFaults({ latency: [1, 1] });
  await machine.run(file.truncate(0));
  await machine.run(slow);
  await machine.run(file.truncate(2000));
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/f": "\0".repeat(2000) });
});

test("what a failed sync was to cut off is cut off when the truncation is repeated and synced", async () => {
  const machine = createMachine(1, { faults: loseAll });
  const file = await machine.run(put(machine, "/f", "a".repeat(2000), true));
  await machine.run(file.truncate(0));
  machine.disk.setFaults({ errorOnSync: 1 });
  await assert.rejects(machine.run(file.sync()));
  machine.disk.setFaults({ errorOnSync: 0 });
  await machine.run(file.truncate(0));
  await machine.run(file.write("new", 0));
  await machine.run(file.truncate(2000));
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/f": `new${"\0".repeat(1997)}` });
});

test("a short write after a failed sync of a truncation makes its own size durable", async () => {
  const machine = createMachine(1, { faults: loseAll });
  const file = await machine.run(put(machine, "/f", "a".repeat(20), true));
  await machine.run(file.truncate(0));
  machine.disk.setFaults({ errorOnSync: 1 });
  await assert.rejects(machine.run(file.sync()));
  machine.disk.setFaults({ errorOnSync: 0 });
  await machine.run(file.write("new", 0));
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/f": "new" });
});

test("after a failed sync the next one succeeds, the cache reads well, and the data is lost (fsyncgate)", async () => {
  const machine = createMachine(1, { faults: loseAll });
  const file = await machine.run(put(machine, "/log", "a".repeat(512), true));
  await machine.run(file.write("b".repeat(512), 512));
  machine.disk.setFaults({ errorOnSync: 1 });
  await assert.rejects(machine.run(file.sync()), { code: "EIO", errno: -5, syscall: "fsync" });
  machine.disk.setFaults({ errorOnSync: 0, ...keepAll });
  await machine.run(file.sync());
  assert.equal(await machine.run(machine.fs.readFile("/log", "utf8")), "a".repeat(512) + "b".repeat(512));
  assert.deepEqual(await powerLoss(machine), { "/log": "a".repeat(512) });
  assert.equal(machine.disk.faultCounts.syncErrors, 1);
});

test("a record appended after a failed sync leaves a hole of zeros where the lost one was", async () => {
  const machine = createMachine(1, { faults: loseAll });
  const file = await machine.run(put(machine, "/log", "a".repeat(512), true));
  await machine.run(file.write("b".repeat(512), 512));
  machine.disk.setFaults({ errorOnSync: 1 });
  await assert.rejects(machine.run(file.sync()));
  machine.disk.setFaults({ errorOnSync: 0 });
  await machine.run(file.write("c".repeat(512), 1024));
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/log": "a".repeat(512) + "\0".repeat(512) + "c".repeat(512) });
});

test("writing again what a failed sync gave up makes it durable", async () => {
  const machine = createMachine(1, { faults: { ...loseAll, errorOnSync: 1 } });
  const file = await machine.run(put(machine, "/log", "entry"));
  await assert.rejects(machine.run(file.sync()));
  machine.disk.setFaults({ errorOnSync: 0 });
  await machine.run(file.write("entry", 0));
  await machine.run(file.sync());
  assert.deepEqual(await powerLoss(machine), { "/log": "entry" });
});

test("an unsynced rename may be undone, and never shows both names or none", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    for (const metadata of ["ordered", "posix"] as const) {
      const machine = createMachine(seed, { metadata });
      await machine.run(put(machine, "/old", "content", true));
      await machine.run(syncDirectory(machine, "/"));
      await machine.run(machine.fs.rename("/old", "/new"));
      const found = await powerLoss(machine);
      assert.deepEqual(Object.values(found), ["content"]);
      seen.add(Object.keys(found).join());
    }
  }
  assert.deepEqual([...seen].sort(), ["/new", "/old"]);
});

test("a sync of the directory makes a rename durable", async () => {
  for (const metadata of ["ordered", "posix"] as const) {
    const machine = createMachine(1, { metadata, faults: loseAll });
    await machine.run(put(machine, "/old", "content", true));
    await machine.run(machine.fs.rename("/old", "/new"));
    await machine.run(syncDirectory(machine, "/"));
    assert.deepEqual(await powerLoss(machine), { "/new": "content" });
  }
});

/** Replaces a file by renaming a new one over it; gives what is found after losses of power. */
async function replacements(sync: boolean): Promise<Set<string>> {
  const found = new Set<string>();
  for (let seed = 0; seed < 250; seed++) {
    const machine = createMachine(seed, { sectorSize: 16 });
    await machine.run(put(machine, "/config", "old old old old old old", true));
    await machine.run(put(machine, "/config.new", "new new new new new new", sync));
    await machine.run(machine.fs.rename("/config.new", "/config"));
    found.add((await powerLoss(machine))["/config"] ?? "missing");
  }
  return found;
}

test("a file that is renamed over another without a sync may turn out empty, short or garbled", async () => {
  const found = await replacements(false);
  assert.ok(found.has(""), "empty");
  assert.ok(found.has("old old old old old old") && found.has("new new new new new new"));
  assert.ok(
    [...found].some((content) => content.includes("\0")),
    "zeros",
  );
});

test("a file that is synced and then renamed over another turns out as the old one or the new one", async () => {
  assert.deepEqual([...(await replacements(true))].sort(), ["new new new new new new", "old old old old old old"]);
});

test("ordered: a loss of power undoes the last changes of names, never an earlier one alone", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const machine = createMachine(seed, { metadata: "ordered" });
    for (const name of ["a", "b", "c"]) await machine.run(machine.fs.mkdir(`/${name}`));
    machine.restart({ power: true });
    seen.add((await machine.run(machine.fs.readdir("/"))).join(""));
  }
  assert.deepEqual([...seen].sort(), ["", "a", "ab", "abc"]);
});

test("posix: a loss of power undoes any changes of names, each on its own", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const machine = createMachine(seed, { metadata: "posix" });
    for (const name of ["a", "b", "c"]) await machine.run(machine.fs.mkdir(`/${name}`));
    machine.restart({ power: true });
    seen.add((await machine.run(machine.fs.readdir("/"))).join(""));
  }
  assert.equal(seen.size, 8);
});

test("posix: a synced file whose directory was not synced may be gone", async () => {
  const machine = createMachine(1, { metadata: "posix", faults: loseAll });
  await machine.run(put(machine, "/log", "entry", true));
  assert.equal(machine.disk.durable("/log"), undefined);
  assert.deepEqual(await powerLoss(machine), {});
  await machine.run(put(machine, "/log", "entry", true));
  await machine.run(syncDirectory(machine, "/"));
  assert.deepEqual(await powerLoss(machine), { "/log": "entry" });
});

test("posix: the sync of a new directory does not make its own name durable", async () => {
  const machine = createMachine(1, { metadata: "posix", faults: loseAll });
  await machine.run(machine.fs.mkdir("/d"));
  await machine.run(put(machine, "/d/log", "entry", true));
  await machine.run(syncDirectory(machine, "/d"));
  assert.deepEqual(machine.disk.durableFiles(), []);
  await machine.run(syncDirectory(machine, "/"));
  assert.deepEqual(await powerLoss(machine), { "/d/log": "entry" });
});

test("a removal that was not synced may be undone, content and all", async () => {
  const machine = createMachine(1, { faults: loseAll });
  await machine.run(machine.fs.writeFile("/log", "entry", { flush: true }));
  await machine.run(machine.fs.unlink("/log"));
  assert.deepEqual(await powerLoss(machine), { "/log": "entry" });
});

test("an open file that was removed can be read until the crash, and is gone after it", async () => {
  const machine = createMachine(1, { faults: keepAll });
  await machine.run(put(machine, "/log", "entry", true));
  const file = await machine.run(machine.fs.open("/log", "r"));
  await machine.run(machine.fs.unlink("/log"));
  assert.equal(await machine.run(file.readFile("utf8")), "entry");
  machine.restart({ power: false });
  assert.deepEqual(machine.disk.files(), []);
  assert.deepEqual(await powerLoss(machine), {});
});
