import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { CorruptionError, InvalidArgumentError, UnsupportedError } from "../../core/index.ts";
import { Database } from "./database.ts";
import { createSqliteDriver } from "./driver.ts";
import { explain } from "./faults.ts";
import { openSqlite } from "./index.ts";
import { commitOf, scratchDriver, scratchFile, set, valueAt } from "./testing/scratch.ts";

test("what was committed is there after reopening, beside tables of the user", async (t) => {
  const file = scratchFile(t);
  const own = new Database(file, 0);
  own.exec(
    "CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (7); PRAGMA application_id = 77; PRAGMA user_version = 12",
  );
  own.close();
  const first = await createSqliteDriver({ file });
  await first.commitMany([commitOf(set("k", "v"))]);
  await first.close();
  const second = await scratchDriver(t, { file });
  assert.equal(await valueAt(second, "k"), "v");
  assert.equal(await second.revision(), 1);
  const again = new Database(file, 1000);
  t.after(() => again.close());
  assert.deepEqual(again.prepare("SELECT id FROM orders").all(), [[7]]);
  assert.deepEqual(again.prepare("PRAGMA application_id").get(), [77]);
  assert.deepEqual(again.prepare("PRAGMA user_version").get(), [12]);
});

test("openSqlite gives a whole engine", async (t) => {
  await using engine = await openSqlite({ file: scratchFile(t) });
  await engine.kv.set(["user", 1], { name: "Ada" });
  assert.deepEqual((await engine.kv.get(["user", 1]))?.value, { name: "Ada" });
});

test("several engines that create the same file at once all open it", async (t) => {
  const file = scratchFile(t);
  const drivers = await Promise.all(Array.from({ length: 4 }, () => scratchDriver(t, { file })));
  await Promise.all(drivers.map((driver, i) => driver.commitMany([commitOf(set(`${i}`, "v"))])));
  for (const driver of drivers) assert.equal(await driver.revision(), 4);
});

test("a file that is not a database is refused, named, and left as it was", async (t) => {
  const file = scratchFile(t);
  writeFileSync(file, "id,name\n1,Ada\n".repeat(100));
  await assert.rejects(createSqliteDriver({ file }), (error) => {
    assert.ok(error instanceof CorruptionError);
    assert.match(error.message, /data\.db: is not an SQLite database; give another file, or restore/);
    return true;
  });
  assert.equal(readFileSync(file, "utf8"), "id,name\n1,Ada\n".repeat(100));
});

test("a file of a later schema is refused with both versions and left as it was", async (t) => {
  const file = scratchFile(t);
  const later = new Database(file, 0);
  later.exec(
    "CREATE TABLE ashlar_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID; INSERT INTO ashlar_meta VALUES ('schema', 9)",
  );
  later.close();
  const before = readFileSync(file);
  await assert.rejects(createSqliteDriver({ file }), (error) => {
    assert.ok(error instanceof UnsupportedError);
    assert.match(error.message, /version 9 of the tables, and this version of ashlar knows version 1; update ashlar/);
    return true;
  });
  assert.deepEqual(readFileSync(file), before);
});

test("a folder, a missing folder, :memory: and nonsense are refused by name", async (t) => {
  const folder = dirname(scratchFile(t));
  mkdirSync(join(folder, "sub"));
  const refused = async (file: unknown, message: RegExp) =>
    await assert.rejects(createSqliteDriver({ file: file as string }), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.match(error.message, message);
      return true;
    });
  await refused(join(folder, "sub"), /sub is a folder; give the path of a file in it/);
  await refused(join(folder, "missing", "data.db"), /the folder .*missing does not exist; create it/);
  await refused(":memory:", /use the engine memory: instead/);
  await refused("", /^file: given ""; allowed: the path of a file/);
  await refused(undefined, /^file: given undefined/);
  await assert.rejects(createSqliteDriver({ file: join(folder, "a.db"), sqlTimeout: 0 }), /sqlTimeout/);
  await assert.rejects(createSqliteDriver({ file: join(folder, "a.db"), pollInterval: "1ms" }), /pollInterval/);
  assert.equal(existsSync(join(folder, "a.db")), false);
});

test("an abort gives up opening", async (t) => {
  const file = scratchFile(t);
  await assert.rejects(createSqliteDriver({ file, signal: AbortSignal.abort(new Error("enough")) }), /enough/);
});

test("errors of permission and of space name the file and the remedy", () => {
  const sqlite = (errcode: number, message: string) =>
    Object.assign(new Error(message), { code: "ERR_SQLITE_ERROR", errcode, errstr: message });
  assert.match(
    String(explain(sqlite(8, "attempt to write a readonly database"), "/d/x.db")),
    /^UnavailableError: \/d\/x\.db: cannot be written .* write permission/,
  );
  assert.match(
    String(explain(sqlite(13, "database or disk is full"), "/d/x.db")),
    /disk is full; nothing was applied and nothing is lost\. Free some space/,
  );
  assert.match(
    String(explain(sqlite(11, "malformed"), "/d/x.db")),
    /damaged \(malformed\); check the disk and restore/,
  );
  const unrelated = new RangeError("x");
  assert.equal(explain(unrelated, "/d/x.db"), unrelated);
});
