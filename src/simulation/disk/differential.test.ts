import assert from "node:assert/strict";
import * as realFs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import fc from "fast-check";
import { createMachine } from "./testing/simulated-machine.ts";
import type { VirtualFileHandle, VirtualFs } from "./virtual-fs.ts";

/** Runs with the root of a file system, and with the handles that the program has opened. */
interface Host {
  readonly fs: VirtualFs;
  readonly root: string;
  readonly handles: (VirtualFileHandle | undefined)[];
}

interface Step {
  readonly text: string;
  readonly run: (host: Host) => Promise<unknown>;
}

const path = fc
  .tuple(
    fc.array(fc.constantFrom("a", "b", "c", "d"), { minLength: 1, maxLength: 3 }),
    fc.constantFrom("", "", "", "", "", "/", "/.", "/.."),
  )
  .map(([parts, end]) => parts.join("/") + end);
const flag = fc.constantFrom("r", "r+", "w", "w+", "wx", "wx+", "a", "a+", "ax", "ax+");
const content = fc.tuple(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 0, max: 1500 })).map(filled);
const offset = fc.integer({ min: 0, max: 2000 });
const position = fc.option(offset, { nil: null });
const slot = fc.nat({ max: 2 });

function filled([byte, length]: [number, number]): Buffer {
  return Buffer.alloc(length, byte);
}

function step(text: string, run: Step["run"]): Step {
  return { text, run };
}

/** A call that takes a path below the root. */
function onPath(name: string, run: (fs: VirtualFs, at: string) => Promise<unknown>): fc.Arbitrary<Step> {
  return path.map((at) => step(`${name} ${at}`, ({ fs, root }) => run(fs, `${root}/${at}`)));
}

function onPaths(name: string, run: (fs: VirtualFs, from: string, to: string) => Promise<unknown>): fc.Arbitrary<Step> {
  return fc
    .tuple(path, path)
    .map(([from, to]) => step(`${name} ${from} ${to}`, ({ fs, root }) => run(fs, `${root}/${from}`, `${root}/${to}`)));
}

/** A call on an open handle; nothing if the slot is empty. */
function onHandle<T>(
  name: string,
  argument: fc.Arbitrary<T>,
  run: (handle: VirtualFileHandle, argument: T) => Promise<unknown>,
): fc.Arbitrary<Step> {
  return fc
    .tuple(slot, argument)
    .map(([index, given]) =>
      step(`${name} #${index} ${render(given)}`, async ({ handles }) => handles[index] && run(handles[index], given)),
    );
}

function render(value: unknown): string {
  if (Buffer.isBuffer(value)) return `${value.length} bytes`;
  return Array.isArray(value) ? value.map(render).join(", ") : String(value);
}

const none = fc.constant(undefined);
const steps = fc.oneof(
  { arbitrary: onPath("mkdir", (fs, at) => fs.mkdir(at)), weight: 3 },
  onPath("mkdir -p", (fs, at) => fs.mkdir(at, { recursive: true })),
  onPath("rmdir", (fs, at) => fs.rmdir(at)),
  onPath("unlink", (fs, at) => fs.unlink(at)),
  onPath("rm", (fs, at) => fs.rm(at)),
  onPath("rm -f", (fs, at) => fs.rm(at, { force: true })),
  onPath("rm -rf", (fs, at) => fs.rm(at, { recursive: true, force: true })),
  onPath("rm -r", (fs, at) => fs.rm(at, { recursive: true })),
  onPath("readdir", async (fs, at) => (await fs.readdir(at)).sort()),
  onPath("readdir types", async (fs, at) =>
    (await fs.readdir(at, { withFileTypes: true }))
      .map((entry) => [entry.name, entry.parentPath, entry.isFile(), entry.isDirectory()])
      .sort(),
  ),
  onPath("stat", async (fs, at) => facts(await fs.stat(at))),
  onPath("lstat", async (fs, at) => facts(await fs.lstat(at))),
  onPath("access", (fs, at) => fs.access(at)),
  onPath("realpath", (fs, at) => fs.realpath(at)),
  onPath("readFile", (fs, at) => fs.readFile(at)),
  onPath("readFile text", (fs, at) => fs.readFile(at, "latin1")),
  { arbitrary: onPaths("rename", (fs, from, to) => fs.rename(from, to)), weight: 3 },
  onPaths("link", (fs, from, to) => fs.link(from, to)),
  onPaths("copyFile", (fs, from, to) => fs.copyFile(from, to)),
  onPaths("copyFile new", (fs, from, to) => fs.copyFile(from, to, realFs.constants.COPYFILE_EXCL)),
  fc
    .tuple(path, offset)
    .map(([at, length]) => step(`truncate ${at} ${length}`, ({ fs, root }) => fs.truncate(`${root}/${at}`, length))),
  {
    arbitrary: fc
      .tuple(path, content)
      .map(([at, data]) =>
        step(`writeFile ${at} ${render(data)}`, ({ fs, root }) => fs.writeFile(`${root}/${at}`, data, { flush: true })),
      ),
    weight: 3,
  },
  fc
    .tuple(path, content)
    .map(([at, data]) =>
      step(`appendFile ${at} ${render(data)}`, ({ fs, root }) => fs.appendFile(`${root}/${at}`, data)),
    ),
  {
    arbitrary: fc.tuple(slot, path, flag).map(([index, at, flags]) =>
      step(`open #${index} ${at} ${flags}`, async ({ fs, root, handles }) => {
        const previous = handles[index];
        handles[index] = undefined;
        await previous?.close();
        handles[index] = await fs.open(`${root}/${at}`, flags);
      }),
    ),
    weight: 4,
  },
  onHandle("read", fc.tuple(fc.nat({ max: 900 }), position), async (handle, [length, at]) => {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(1000), 3, length, at);
    return [bytesRead, buffer];
  }),
  onHandle("read options", position, async (handle, at) => {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(1000), { offset: 1, position: at });
    return [bytesRead, buffer];
  }),
  onHandle("handle readFile", none, (handle) => handle.readFile()),
  onHandle("write", fc.tuple(content, position), async (handle, [data, at]) => {
    const from = Math.min(2, data.length);
    return (await handle.write(data, from, data.length - from, at)).bytesWritten;
  }),
  onHandle("write text", position, async (handle, at) => (await handle.write("schön €", at, "utf8")).bytesWritten),
  onHandle("writev", fc.tuple(content, content, position), async (handle, [first, second, at]) => {
    return (await handle.writev([first, second], at ?? undefined)).bytesWritten;
  }),
  onHandle("handle writeFile", content, (handle, data) => handle.writeFile(data)),
  onHandle("handle appendFile", content, (handle, data) => handle.appendFile(data)),
  onHandle("truncate", offset, (handle, length) => handle.truncate(length)),
  onHandle("sync", none, (handle) => handle.sync()),
  onHandle("datasync", none, (handle) => handle.datasync()),
  onHandle("handle stat", none, async (handle) => facts(await handle.stat())),
  onHandle("close", none, (handle) => handle.close()),
);

function facts(stats: Awaited<ReturnType<VirtualFs["stat"]>>): unknown {
  // The size of a directory and the count of its links are file systems' private affair.
  return stats.isFile()
    ? ["file", stats.size, stats.nlink]
    : ["directory", stats.isDirectory(), stats.isSymbolicLink()];
}

/** Everything observable of a step: the value, or the error without its root. */
async function outcome({ run }: Step, host: Host): Promise<unknown> {
  const strip = (text: unknown) => (typeof text === "string" ? text.replaceAll(host.root, "") : text);
  try {
    const value = await run(host);
    return {
      value: Array.isArray(value) ? value.map((item) => (Array.isArray(item) ? item.map(strip) : item)) : strip(value),
    };
  } catch (error) {
    const { code, errno, syscall, path, dest, message } = error as NodeJS.ErrnoException & { dest?: string };
    return { code, errno, syscall, path: strip(path), dest: strip(dest), message: strip(message) };
  }
}

async function compare(program: readonly Step[], root: string): Promise<void> {
  const machine = createMachine();
  await machine.run(machine.fs.mkdir(root, { recursive: true }));
  await realFs.mkdir(root);
  const real: Host = { fs: realFs, root, handles: [] };
  const simulated: Host = { fs: machine.fs, root, handles: [] };
  try {
    for (const [index, each] of program.entries()) {
      const expected = await outcome(each, real);
      const found = await machine.run(outcome(each, simulated));
      assert.deepEqual(found, expected, `step ${index}: ${each.text}`);
    }
  } finally {
    for (const handle of real.handles) await handle?.close();
  }
}

test("random programs have the results and errors that node:fs/promises gives", {
  skip: process.platform !== "linux",
}, async () => {
  const folder = await realFs.mkdtemp(join(tmpdir(), "ashlar-disk-"));
  let run = 0;
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 30 }), (program) => compare(program, join(folder, `r${run++}`))),
      { numRuns: 400, seed: 1 },
    );
  } finally {
    await realFs.rm(folder, { recursive: true, force: true });
  }
});
