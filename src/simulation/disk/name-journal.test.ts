import assert from "node:assert/strict";
import test from "node:test";
import type { MetadataRules } from "./name-journal.ts";
import { createFixedChance } from "./testing/seeded-chance.ts";
import { createMachine, type SimulatedMachine } from "./testing/simulated-machine.ts";
import type { VirtualFs } from "./virtual-fs.ts";

async function syncDirectory(fs: VirtualFs, path: string): Promise<void> {
  await using directory = await fs.open(path, "r");
  await directory.sync();
}

/** A durable tree of files, each with its path as its content. */
async function plant(fs: VirtualFs, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const directory = path.slice(0, path.lastIndexOf("/")) || "/";
    await fs.mkdir(directory, { recursive: true });
    await fs.writeFile(path, path, { flush: true });
    for (let at = directory; ; at = at.slice(0, at.lastIndexOf("/")) || "/") {
      await syncDirectory(fs, at);
      if (at === "/") break;
    }
  }
}

/** The content of every file, by path. */
async function contents(machine: SimulatedMachine): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of machine.disk.files()) found[path] = await machine.fs.readFile(path, "latin1");
  return found;
}

/**
 * Makes changes and loses power. Of the changes only those marked in `kept` reach the medium by themselves; the disk is asked
 * for the youngest first if "posix", for the oldest first if "ordered".
 */
async function survivors(
  metadata: MetadataRules,
  planted: readonly string[],
  kept: boolean[],
  changes: (fs: VirtualFs) => Promise<unknown>,
): Promise<Record<string, string>> {
  const machine = createMachine(createFixedChance({ "disk kept name": kept }), { metadata });
  await machine.run(plant(machine.fs, planted));
  await machine.run(changes(machine.fs));
  machine.restart({ power: true });
  return await machine.run(contents(machine));
}

test("posix: the later of two changes may survive alone", async () => {
  const found = await survivors("posix", ["/a", "/b"], [true, false], async (fs) => {
    await fs.rename("/a", "/c");
    await fs.rename("/b", "/d");
  });
  assert.deepEqual(found, { "/a": "/a", "/d": "/b" });
});

test("posix: a name does not pass to another file before its own has moved away", async () => {
  const found = await survivors("posix", ["/a"], [true, false], async (fs) => {
    await fs.rename("/a", "/b");
    await (await fs.open("/a", "w")).close();
  });
  assert.deepEqual(found, { "/a": "", "/b": "/a" });
});

test("posix: a file does not lose its old name before it has its new one", async () => {
  const found = await survivors("posix", ["/a"], [true, false], async (fs) => {
    await fs.link("/a", "/b");
    await fs.unlink("/a");
  });
  assert.deepEqual(found, { "/b": "/a" });
});

test("posix: a directory does not go before what was moved out of it", async () => {
  const found = await survivors("posix", ["/d/a"], [true, false], async (fs) => {
    await fs.rename("/d/a", "/a");
    await fs.rmdir("/d");
  });
  assert.deepEqual(found, { "/a": "/d/a" });
});

test("posix: a file does not move into directories that do not exist", async () => {
  const found = await survivors("posix", ["/a"], [true, false, false], async (fs) => {
    await fs.mkdir("/d");
    await fs.mkdir("/d/e");
    await fs.rename("/a", "/d/e/a");
  });
  assert.deepEqual(found, { "/d/e/a": "/a" });
});

test("posix: directories do not end up in each other", async () => {
  const found = await survivors("posix", ["/x/y/a"], [true, false], async (fs) => {
    await fs.rename("/x/y", "/y");
    await fs.rename("/x", "/y/x");
    assert.deepEqual(await fs.readdir("/y"), ["a", "x"]);
  });
  assert.deepEqual(found, { "/y/a": "/x/y/a" });
});

test("posix: a moved directory may go without what was made in it before", async () => {
  const found = await survivors("posix", ["/d/a"], [true, false], async (fs) => {
    await fs.link("/d/a", "/d/b");
    await fs.rename("/d", "/e");
  });
  assert.deepEqual(found, { "/e/a": "/d/a" });
});

test("ordered: changes survive up to some moment", async () => {
  const found = await survivors("ordered", ["/a"], [true, true, false, true], async (fs) => {
    for (const [from, to] of ["ab", "bc", "cd", "de"]) await fs.rename(`/${from}`, `/${to}`);
  });
  assert.deepEqual(found, { "/c": "/a" });
});

test("ordered: a file that was created, written and removed may come back with its content", async () => {
  const machine = createMachine(
    createFixedChance({ "disk kept name": [true, false], "disk kept size": true, "disk kept sector": true }),
  );
  const file = await machine.run(machine.fs.open("/a", "w"));
  await machine.run(file.write("content"));
  await machine.run(machine.fs.unlink("/a"));
  await machine.run(file.close());
  machine.restart({ power: true });
  assert.deepEqual(await machine.run(contents(machine)), { "/a": "content" });
});

for (const metadata of ["ordered", "posix"] as const) {
  test(`${metadata}: the sync of a directory covers the changes before its call, not those while it runs`, async () => {
    const machine = createMachine(1, { metadata, faults: { keepUnsynced: 0, tear: 0, latency: [1, 1] } });
    await machine.run(machine.fs.mkdir("/before"));
    const root = await machine.run(machine.fs.open("/", "r"));
    machine.disk.setFaults({ latency: [10, 10] });
    const slow = root.sync();
    machine.disk.setFaults({ latency: [1, 1] });
    await machine.run(machine.fs.mkdir("/during"));
    await machine.run(slow);
    machine.restart({ power: true });
    assert.deepEqual(await machine.run(machine.fs.readdir("/")), ["before"]);
  });
}

test("the oldest of thousands of changes become durable by themselves", async () => {
  const machine = createMachine(1, { faults: { keepUnsynced: 0, latency: [0, 0] } });
  await machine.run(machine.fs.mkdir("/old"));
  await machine.run(machine.fs.mkdir("/a"));
  for (let n = 0; n < 2100; n++) {
    await machine.run(machine.fs.rename("/a", "/b"));
    await machine.run(machine.fs.rename("/b", "/a"));
  }
  machine.restart({ power: true });
  assert.ok((await machine.run(machine.fs.readdir("/"))).includes("old"));
});
