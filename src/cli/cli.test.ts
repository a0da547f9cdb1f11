import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { skipWithoutPostgres, startPostgres } from "../../test/servers/postgres.ts";
import { connect } from "../engine/index.ts";
import { ashlar, type Outcome, runHere, startAshlar } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let stores = 0;

/** The URL of a new SQLite store. */
function newStore(): string {
  return `sqlite:${join(folder, `${stores++}.db`)}`;
}

function good({ code, stdout, stderr }: Outcome): string {
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

/** It failed with this code and one line that says why, without a stack. */
function bad({ code, stdout, stderr }: Outcome, expected: number, said: RegExp): void {
  assert.deepEqual([code, stdout], [expected, ""], stderr);
  assert.match(stderr, said);
  assert.match(stderr, /^ashlar: [^\n]+\n$/, "one line");
  assert.doesNotMatch(stderr, /\n\s+at /);
}

describe("ashlar", { concurrency: 4 }, () => {
  test("tells its commands, its version, and the use of each command", async () => {
    const help = good(await ashlar(["--help"]));
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
    assert.equal(good(await ashlar(["--version"])), `${version}\n`);
    for (const command of [
      "verify",
      "doctor",
      "kv",
      "log",
      "queue",
      "topic",
      "stream",
      "events",
      "workflow",
      "schedule",
      "simulate",
      "check",
    ]) {
      assert.match(help, new RegExp(`^ +${command} `, "m"));
      assert.match(good(await ashlar([command, "--help"])), new RegExp(`^Usage: ashlar ${command} `));
    }
    assert.match(help, /Exit codes: 0 .* 1 .* 2 .* 3 /s);
  });

  test("a command line that makes no sense ends with 2 and says what would", async () => {
    bad(await ashlar([]), 2, /--help/);
    bad(await ashlar(["kv", "ls", newStore(), "--limt", "3"]), 2, /--limt/);
    bad(await ashlar(["kv", "ls", "postgers://localhost/x"]), 2, /postgers.*did you mean postgres/);
  });

  test("a store that cannot be reached ends with 3 and says which", async () => {
    const port = await closedPort();
    const url = `postgres://someone:topsecret@127.0.0.1:${port}/data`;
    for (const command of ["kv ls", "log read --url", "doctor", "verify"]) {
      const outcome = await ashlar([...command.split(" "), url, ...(command.startsWith("log") ? ["t"] : [])]);
      bad(outcome, 3, new RegExp(`127\\.0\\.0\\.1:${port}`));
      assert.doesNotMatch(outcome.stderr, /topsecret/);
    }
    const { code, stderr } = await ashlar(["kv", "ls", url, "--json"]);
    assert.deepEqual([code, JSON.parse(stderr).error.code], [3, "UNAVAILABLE"]);
  });

  test("a file that is no database ends with 3, and stays as it is", async () => {
    const file = join(folder, "letter.txt");
    writeFileSync(file, "Dear Sir or Madam, this is no database, however you look at it.");
    bad(await ashlar(["kv", "ls", `sqlite:${file}`]), 3, /letter\.txt/);
    assert.match(readFileSync(file, "utf8"), /^Dear/);
  });
});

describe("ashlar kv", { concurrency: 4 }, () => {
  test("sets, gets, lists and removes", async () => {
    const url = newStore();
    good(
      await runHere(["kv", "set", url, "user/42", '{"name": "Ada", "born": {"$date": "1815-12-10T00:00:00.000Z"}}']),
    );
    good(await runHere(["kv", "set", url, '["user", "42"]', '"a text"', "--ttl", "1h"]));
    good(await runHere(["kv", "set", url, "user/7", "--", "-1"]));
    assert.equal(
      good(await runHere(["kv", "get", url, "user/42"])),
      '{"name":"Ada","born":{"$date":"1815-12-10T00:00:00.000Z"}}\n',
    );
    assert.equal(good(await runHere(["kv", "ls", url, "user", "--limit", "1", "--reverse"])).split("\t")[0], "user/42");
    assert.deepEqual(good(await runHere(["kv", "ls", url])).split("\n"), [
      '["user","42"]\t"a text"',
      "user/7\t-1",
      'user/42\t{"name":"Ada","born":{"$date":"1815-12-10T00:00:00.000Z"}}',
      "",
    ]);
    assert.equal(good(await runHere(["kv", "rm", url, "user/7", "user/8"])), "user/7\n");
    assert.deepEqual(JSON.parse(good(await runHere(["kv", "rm", url, "user/42", "--json"]))), {
      removed: [["user", 42]],
    });
    await using engine = await connect(url);
    assert.deepEqual(
      (await Array.fromAsync(engine.kv.list({}))).map(({ key }) => key),
      [["user", "42"]],
    );
  });

  test("tells everything about an entry as JSON", async () => {
    const url = newStore();
    const { version } = JSON.parse(good(await runHere(["kv", "set", url, "k/1", "[1]", "--ttl", "1h", "--json"])));
    const found = JSON.parse(good(await runHere(["kv", "get", url, "k/1", "--json"])));
    assert.ok(found.ttl > 3_000_000 && found.ttl <= 3_600_000);
    assert.deepEqual(found, { key: ["k", 1], value: [1], version, ttl: found.ttl });
    const [line = ""] = good(await runHere(["kv", "ls", url, "--json"])).split("\n");
    assert.deepEqual(JSON.parse(line), { ...found, ttl: JSON.parse(line).ttl });
  });

  test("an absent key ends with 1", async () => {
    const { code, stdout, stderr } = await runHere(["kv", "get", "memory:", "user/42"]);
    assert.deepEqual([code, stdout, stderr], [1, "", "user/42 is absent\n"]);
  });

  test("ends when nobody reads on", async () => {
    const url = newStore();
    await using engine = await connect(url);
    const mutations = Array.from({ length: 5000 }, (_, i) => ({ set: ["k", i], value: "x".repeat(100) }));
    await engine.kv.commit({ mutations });
    await using listing = startAshlar(["kv", "ls", url]);
    await listing.line();
    assert.equal(await listing.hangUp(), 0);
  });

  test("watches until it is interrupted", async () => {
    const url = newStore();
    await using engine = await connect(url);
    await engine.kv.set(["w", 1], "there");
    await using watching = startAshlar(["kv", "watch", url, "w"]);
    await using json = startAshlar(["kv", "watch", url, "w", "--json"]);
    assert.equal(await watching.line(), 'w/1\t"there"');
    assert.equal(JSON.parse(await json.line()).value, "there");
    await engine.kv.set(["w", 2], [true]);
    assert.equal(await watching.line(), "w/2\t[true]");
    assert.deepEqual(JSON.parse(await json.line()).key, ["w", 2]);
    await engine.kv.delete(["w", 1]);
    assert.equal(await watching.line(), "w/1\tis gone");
    assert.deepEqual(JSON.parse(await json.line()), { key: ["w", 1], deleted: true });
    assert.deepEqual(await Promise.all([watching.interrupt(), json.interrupt()]), [0, 0]);
  });
});

describe("ashlar log", { concurrency: 4 }, () => {
  test("reads records from an offset, up to a limit", async () => {
    const url = newStore();
    await using engine = await connect(url);
    await engine.log.append("t", ["a", { b: 1n }, "c"]);
    await engine.log.append(["t", 3], ["tuple"]);
    const [line = "", ...more] = good(await runHere(["log", "read", url, "t", "--from", "1", "--limit", "1"])).split(
      "\n",
    );
    assert.match(line, /^1\t20\d\d-.*Z\t\{"b":\{"\$bigint":"1"\}\}$/);
    assert.deepEqual(more, [""]);
    const all = good(await runHere(["log", "read", url, "t", "--json"]))
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text));
    assert.deepEqual(
      all.map(({ offset }) => offset),
      [0, 1, 2],
    );
    assert.match(good(await runHere(["log", "read", url, '["t", 3]'])), /"tuple"/);
    assert.equal(good(await runHere(["log", "read", url, "never"])), "");
  });

  test("tails until it is interrupted, or has seen enough", async () => {
    const url = newStore();
    await using engine = await connect(url);
    await engine.log.append("t", ["first"]);
    await using tailing = startAshlar(["log", "tail", url, "t"]);
    assert.match(await tailing.line(), /^0\t.*"first"$/);
    await engine.log.append("t", ["second"]);
    assert.match(await tailing.line(), /^1\t.*"second"$/);
    assert.equal(await tailing.interrupt(), 0);
    assert.equal(good(await runHere(["log", "tail", url, "t", "--limit", "2"])).split("\n").length, 3);
    assert.match(good(await runHere(["log", "tail", url, "t", "--from", "1", "--limit", "1", "--json"])), /"second"/);
  });
});

describe("ashlar doctor", { concurrency: 4 }, () => {
  test("looks at the machine and the store, and leaves nothing behind", async () => {
    const url = newStore();
    const file = url.slice("sqlite:".length);
    const text = good(await runHere(["doctor", url]));
    for (const what of ["node", "engine", "round trip", "clock", "commit", "disk", "durability"]) {
      assert.match(text, new RegExp(`^✓ +${what} `, "m"));
    }
    assert.match(text, /power/);
    await using engine = await connect(url);
    assert.deepEqual(await Array.fromAsync(engine.kv.list({})), []);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith(".ashlar")),
      [],
      `beside ${file}`,
    );
  });

  test("tells numbers as JSON, with or without a store", async () => {
    const found = JSON.parse(good(await runHere(["doctor", "memory:", "--json"])));
    assert.equal(found.engine.name, "memory");
    assert.equal(found.durability.durability, "none");
    assert.ok(found.clock.errorMs >= 0 && Math.abs(found.clock.offsetMs) <= found.clock.errorMs + 1);
    assert.ok(found["round trip"].ms >= 0 && found.commit.ms >= 0);
    const machine = JSON.parse(good(await runHere(["doctor", "--json"])));
    assert.deepEqual(Object.keys(machine), ["node", "disk"]);
  });
});

describe("ashlar verify", { concurrency: 2 }, () => {
  test("prints guarantees and facts, leaves the store as it is, and ends with 0", async () => {
    const url = newStore();
    await using engine = await connect(url);
    const { version } = await engine.kv.set(["mine"], "untouched");
    const text = good(await runHere(["verify", url, "--only", "add,range-check"]));
    assert.match(text, /^sqlite: keeps the contract as far as it was asked: \d+ ✓, 0 ✗/);
    assert.match(text, /✓ commits +strict-serializable/);
    assert.match(text, /– failover +none +not asked/);
    assert.match(text, /^ {2}✓ a sum may reach its ceiling and not pass it {2}\d+ ms$/m);
    const entries = await Array.fromAsync(engine.kv.list({}));
    assert.deepEqual(entries, [{ key: ["mine"], value: "untouched", version }]);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes("verify")),
      [],
    );
    const absent = newStore();
    good(await runHere(["verify", absent, "--only", "limits"]));
    assert.equal(existsSync(absent.slice("sqlite:".length)), false, "no file was made");
  });

  test("interrupted, removes what it made, and ends with 130", async () => {
    const place = mkdtempSync(join(folder, "interrupted-"));
    await using verifying = startAshlar(["verify", `sqlite:${join(place, "data.db")}`]);
    const deadline = performance.now() + 20_000;
    while (readdirSync(place).length === 0) {
      assert.ok(performance.now() < deadline, "it never began");
      await setTimeout(20);
    }
    assert.equal(await verifying.interrupt(), 130);
    assert.deepEqual(readdirSync(place), []);
  });

  test("on Postgres, works in schemas of its own and drops them", { skip: skipWithoutPostgres() }, async () => {
    await using server = await startPostgres();
    const text = good(await runHere(["verify", server.url, "--only", "add,scope"]));
    assert.match(text, /^postgres: keeps the contract as far as it was asked: \d+ ✓, 0 ✗, 0 not asked/);
    await using client = await connect(server.url);
    const schemas = await client.transact((tx) =>
      tx.sql.all("select nspname from pg_namespace where nspname like 'ashlar_verify%'"),
    );
    assert.deepEqual(schemas, []);
  });

  test("prints everything as JSON", async () => {
    const found = JSON.parse(good(await runHere(["verify", "memory:", "--json", "--only", "commit", "--seed", "7"])));
    assert.deepEqual([found.engine, found.failed], ["memory", 0]);
    assert.ok(found.results.length > 20);
    assert.ok(
      found.results.every(
        ({ contract, outcome }: { contract: string; outcome: string }) => contract === "commit" && outcome === "passed",
      ),
    );
    assert.equal(
      found.guarantees.find(({ guarantee }: { guarantee: string }) => guarantee === "commits").promised,
      "strict-serializable",
    );
  });

  test("asks the whole contract of memory: without a failure", async () => {
    const text = good(await ashlar(["verify", "memory:"]));
    assert.match(text, /: 2\d\d ✓, 0 ✗, /);
  });
});

/** A port of this machine on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
