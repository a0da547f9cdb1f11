import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { skipWithoutPgBouncer, startPgBouncer } from "./pgbouncer.ts";
import { findPostgres, type PostgresServer, skipWithoutPostgres, startPostgres } from "./postgres.ts";
import { skipWithout } from "./process.ts";
import { isRunning, killTree, pauseTree, processTree, resumeTree, until } from "./process-tree.ts";

const needsPostgres = { skip: skipWithoutPostgres() };
const needsBoth = { skip: skipWithoutPostgres() || skipWithoutPgBouncer() };

test("a server serves on its URL, and stop leaves no process and no folder", needsPostgres, async () => {
  const server = await startPostgres({ settings: { statement_timeout: "12s" } });
  const folder = dirname(server.dataDir);
  assert.deepEqual(await query(server.url, "show statement_timeout"), [{ statement_timeout: "12s" }]);
  assert.deepEqual(await query(server.url, "show fsync"), [{ fsync: "on" }]);
  const processes = processTree(server.pid);
  assert.ok(processes.length > 1, "the postmaster has children");
  await server.stop();
  assert.deepEqual(processes.filter(isRunning), []);
  assert.ok(!existsSync(folder));
  await server.stop();
});

test("what was committed outlives kill9 and restart, under the same URL", needsPostgres, async () => {
  await using server = await startPostgres();
  await query(server.url, "create table facts (fact text)");
  await query(server.url, "insert into facts values ('committed')");
  const before = processTree(server.pid);
  await server.kill9();
  assert.deepEqual(before.filter(isRunning), []);
  await assert.rejects(query(server.url, "select 1"), { code: "ECONNREFUSED" });
  await server.restart();
  assert.ok(!before.includes(server.pid));
  assert.deepEqual(await query(server.url, "select fact from facts"), [{ fact: "committed" }]);
  assert.match(server.log(), /was not properly shut down; automatic recovery/);
});

test("a server that is running restarts by a clean shutdown", needsPostgres, async () => {
  await using server = await startPostgres();
  await server.restart();
  assert.deepEqual(await query(server.url, "select 1 as one"), [{ one: 1 }]);
  assert.doesNotMatch(server.log(), /automatic recovery/);
});

test("a paused server answers nobody until it is resumed", needsPostgres, async () => {
  await using server = await startPostgres();
  const client = await connectTo(server.url);
  try {
    server.pause();
    let answered = false;
    const answer = client.query("select 1 as one").then(({ rows }) => {
      answered = true;
      return rows;
    });
    // A second server does all its work meanwhile: long enough for an answer that were to come.
    await using other = await startPostgres();
    await query(other.url, "select 1");
    assert.equal(answered, false);
    server.resume();
    assert.deepEqual(await answer, [{ one: 1 }]);
  } finally {
    await client.end();
  }
});

test("a paused server can be stopped", needsPostgres, async () => {
  const server = await startPostgres();
  server.pause();
  await server.stop();
  assert.ok(!isRunning(server.pid));
});

test("a setting that the server refuses shows the server's own words and leaves nothing", needsPostgres, async () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-refused-"));
  chmodSync(folder, 0o755);
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = folder;
  try {
    await assert.rejects(
      startPostgres({ settings: { shared_buffers: "a lot" } }),
      /ended while it was starting.*invalid value for parameter "shared_buffers": "a lot"/s,
    );
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    rmSync(folder, { recursive: true });
  }
});

test("clients of a transaction pool share fewer server connections than they are", needsBoth, async () => {
  await using postgres = await startPostgres();
  await using pool = await startPgBouncer(postgres, { poolMode: "transaction", poolSize: 1 });
  const clients = await Promise.all([connectTo(pool.url), connectTo(pool.url)]);
  try {
    const backends = new Set<number>();
    for (const client of clients) {
      const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
      backends.add(rows[0]?.pid as number);
    }
    assert.equal(backends.size, 1);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
  await pool.stop();
  assert.ok(!isRunning(pool.pid));
});

test("servers die with a process that was killed, and their folders go", needsPostgres, async () => {
  const { script, url, pid } = await runScript("postgres");
  const [{ data_directory: dataDir } = { data_directory: "" }] = await query(url, "show data_directory");
  assert.ok(existsSync(dataDir) && isRunning(pid));
  script.kill("SIGKILL");
  await until(() => !isRunning(pid) && !existsSync(dirname(dataDir)), "the guard has cleaned up");
});

test("scripts/servers.ts ends its server when it is asked to end", needsPostgres, async () => {
  const { script, url, pid } = await runScript("postgres");
  assert.deepEqual(await query(url, "select 1 as one"), [{ one: 1 }]);
  script.kill("SIGTERM");
  const [code] = await once(script, "exit");
  assert.equal(code, 0);
  assert.ok(!isRunning(pid));
});

test("scripts/servers.ts refuses what it does not know with exit code 2", async () => {
  const script = spawnScript("start", "oracle");
  const [code] = await once(script, "exit");
  assert.equal(code, 2);
});

test("killing a tree ends children and grandchildren, paused ones too", async () => {
  const grandchild = `require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1e9)"], { stdio: "ignore" })`;
  const child = spawn(process.execPath, ["-e", `${grandchild}; setInterval(() => {}, 1e9)`], { stdio: "ignore" });
  const pid = child.pid as number;
  await until(() => processTree(pid).length === 2, "the grandchild runs");
  const tree = processTree(pid);
  assert.equal(tree[0], pid);
  pauseTree(pid);
  resumeTree(pid);
  pauseTree(pid);
  await killTree(pid);
  assert.deepEqual(tree.filter(isRunning), []);
});

test("an absent program is a skip with its remedy, and with CI=true a failure", () => {
  const before = process.env["CI"];
  try {
    delete process.env["CI"];
    assert.equal(skipWithout(undefined, "needs it"), "needs it");
    assert.equal(skipWithout("/usr/bin", "needs it"), false);
    process.env["CI"] = "true";
    assert.throws(() => skipWithout(undefined, "needs it"), /needs it \(CI=true: not skipped\)/);
  } finally {
    if (before === undefined) delete process.env["CI"];
    else process.env["CI"] = before;
  }
});

test("the programs of PostgreSQL are found on PATH first", needsPostgres, () => {
  const found = findPostgres() as string;
  const before = process.env["PATH"];
  try {
    process.env["PATH"] = `/nonexistent:${found}`;
    assert.equal(findPostgres(), found);
  } finally {
    process.env["PATH"] = before;
  }
});

async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

async function query(url: PostgresServer["url"], sql: string): Promise<Record<string, string>[]> {
  const client = await connectTo(url);
  try {
    const { rows } = await client.query(sql);
    return rows;
  } finally {
    await client.end();
  }
}

function spawnScript(...args: string[]): ChildProcess {
  const script = fileURLToPath(new URL("../../scripts/servers.ts", import.meta.url));
  return spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "ignore"] });
}

async function runScript(name: string): Promise<{ script: ChildProcess; url: string; pid: number }> {
  const script = spawnScript("start", name);
  const [line] = await once(createInterface({ input: script.stdout as NodeJS.ReadableStream }), "line");
  const [url, pid] = (line as string).split(" ");
  return { script, url: url as string, pid: Number(pid) };
}
