/**
 * A process that writes: `node writing-child.ts <file> <name> <first> <commits>`. Commit i sets `<name>/<i>/a` and `<name>/<i>/b` to the
 * same value and appends `<name>/<i>` to the topic "shared"; once it is acknowledged, a line `<i> <revision> <offset>` says so.
 */
import { createSqliteDriver } from "../driver.ts";
import { append, commitOf, set } from "./scratch.ts";

const [file = "", name = "", first = "0", commits = "0"] = process.argv.slice(2);
const driver = await createSqliteDriver({ file });
const end = Number(first) + Number(commits);
let next = Number(first);

async function write(): Promise<void> {
  while (next < end) {
    const i = next++;
    const value = `${i}-${"v".repeat(i % 200)}`;
    const commit = commitOf(
      set(`${name}/${i}/a`, value),
      set(`${name}/${i}/b`, value),
      append("shared", `${name}/${i}`),
    );
    const [outcome] = await driver.commitMany([commit]);
    if (!outcome?.ok) throw new Error(`commit ${i} was refused`);
    process.stdout.write(`${i} ${outcome.revision} ${outcome.offsets[0]}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, write));
await driver.close();
