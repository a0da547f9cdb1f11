import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect } from "../engine/index.ts";
import { createEventStore } from "../messaging/event-store/index.ts";
import { createQueue, park } from "../messaging/queue/index.ts";
import { createStream } from "../messaging/stream/index.ts";
import { createTopic } from "../messaging/topic/index.ts";
import { type Outcome, runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function good({ code, stdout, stderr }: Outcome): string {
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

const rows = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s{2,}|\t/));
const json = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("ashlar queue shows, fills, holds up, mends and empties queues", async () => {
  const url = `sqlite:${join(folder, "queue.db")}`;
  assert.equal(good(await runHere(["queue", "list", url])), "");
  const id = good(await runHere(["queue", "add", url, "mails", '{"to":"ann"}', "--delay", "1h"])).trim();
  assert.match(id, /^[0-9A-Z]{26}$/);
  const first = good(await runHere(["queue", "add", url, "mails", '"now"', "--dedupe", "d"])).trim();
  const again = json(good(await runHere(["queue", "add", url, "mails", '"now"', "--dedupe", "d", "--json"])));
  assert.deepEqual(again, [{ id: first, duplicate: true }]);
  good(await runHere(["queue", "add", url, "other", "7", "--priority=-2", "--key", "k"]));
  good(await runHere(["queue", "pause", url, "other"]));
  assert.deepEqual(rows(good(await runHere(["queue", "list", url]))), [
    ["queue", "waiting", "delayed", "blocked", "active", "dead"],
    ["mails", "1", "1", "0", "0", "0"],
    ["other", "0", "0", "1", "0", "0", "paused"],
  ]);
  const [info] = json(good(await runHere(["queue", "inspect", url, "mails", id, "--json"])));
  assert.deepEqual([info.state, info.data], ["delayed", { to: "ann" }]);
  good(await runHere(["queue", "promote", url, "mails", id]));
  assert.equal((await runHere(["queue", "promote", url, "mails", id])).code, 1);
  assert.equal(
    good(await runHere(["queue", "jobs", url, "mails"]))
      .trim()
      .split("\n").length,
    2,
  );
  good(await runHere(["queue", "cancel", url, "mails", first]));
  assert.equal((await runHere(["queue", "cancel", url, "mails", first])).code, 1);
  good(await runHere(["queue", "resume", url, "other"]));
  {
    await using engine = await connect(url);
    const queue = createQueue(engine, "mails");
    await using _worker = queue.work(() => {
      throw park("no such address");
    });
    while ((await queue.counts()).dead === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.match(
    good(await runHere(["queue", "jobs", url, "mails", "--state", "dead"])),
    /dead\t\{"to":"ann"\}\tParked: no such address/,
  );
  assert.equal(good(await runHere(["queue", "redrive", url, "mails", "--limit", "5"])), "1\n");
  assert.equal((await runHere(["queue", "purge", url, "mails"])).code, 2);
  assert.equal(good(await runHere(["queue", "purge", url, "mails", "--yes"])), "1\n");
  assert.equal((await runHere(["queue", "inspect", url, "mails", id])).code, 1);
  assert.equal((await runHere(["queue", "jobs", url, "mails", "--state", "lost"])).code, 2);
  assert.equal((await runHere(["queue", "drain", url, "mails"])).code, 2);
});

test("ashlar topic shows topics and subscriptions, publishes, resets and mends", async () => {
  const url = `sqlite:${join(folder, "topic.db")}`;
  good(await runHere(["topic", "publish", url, "orders", '{"id":1}', "--type", "order.placed", "--key", "a"]));
  {
    await using engine = await connect(url);
    const topic = createTopic(engine, "orders");
    await using _subscriber = topic.subscribe(
      "billing",
      () => {
        throw park("no such account");
      },
      { from: "start" },
    );
    while ((await topic.subscription("billing").counts()).dead === 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const [published] = json(good(await runHere(["topic", "publish", url, "orders", "2", "--json"])));
  assert.equal(published.offset, 1);
  assert.deepEqual(rows(good(await runHere(["topic", "list", url]))), [["orders", "0 to 2"]]);
  const [, , line] = rows(good(await runHere(["topic", "inspect", url, "orders"])));
  assert.deepEqual(
    [line?.slice(0, 3), line?.slice(4)],
    [
      ["billing", "1", "1"],
      ["0", "0", "1"],
    ],
  );
  assert.match(
    good(await runHere(["topic", "dead", url, "orders", "billing"])),
    /order\.placed\t\{"id":1\}\tParked: no such account/,
  );
  assert.equal(good(await runHere(["topic", "redrive", url, "orders", "billing"])), "1\n");
  assert.equal((await runHere(["topic", "reset", url, "orders", "billing", "--to", "start"])).code, 2);
  assert.equal(good(await runHere(["topic", "reset", url, "orders", "billing", "--to", "start", "--yes"])), "0\n");
  assert.equal((await runHere(["topic", "reset", url, "orders", "billing", "--to", "soon", "--yes"])).code, 2);
  good(await runHere(["topic", "pause", url, "orders", "billing"]));
  assert.match(good(await runHere(["topic", "inspect", url, "orders"])), /paused/);
  good(await runHere(["topic", "resume", url, "orders", "billing"]));
  const seen = json(good(await runHere(["topic", "tail", url, "orders", "--from", "start", "--limit", "2", "--json"])));
  assert.deepEqual(
    seen.map(({ type, data }) => [type, data]),
    [
      ["order.placed", { id: 1 }],
      ["orders", 2],
    ],
  );
  assert.equal((await runHere(["topic", "pause", url, "orders", "nobody"])).code, 1);
  good(await runHere(["topic", "delete", url, "orders", "billing", "--yes"]));
  assert.equal(good(await runHere(["topic", "inspect", url, "orders"])), "2 events, from offset 0\n");
});

test("ashlar stream shows streams and groups, appends, resets and mends", async () => {
  const url = `sqlite:${join(folder, "stream.db")}`;
  assert.equal((await runHere(["stream", "append", url, "clicks", "1"])).code, 1);
  {
    await using engine = await connect(url);
    const stream = createStream<unknown>(engine, "clicks", { partitions: 1 });
    await stream.append({ page: "/" }, { key: "ann" });
    await using _consumer = stream.consume(
      "counting",
      () => {
        throw new Error("no counter");
      },
      { retry: { attempts: 1 }, onFailure: "park" },
    );
    while ((await stream.groups.info("counting"))?.partitions[0]?.position !== 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(good(await runHere(["stream", "append", url, "clicks", "2", "--key", "bob"])), "0\t1\n");
  assert.deepEqual(rows(good(await runHere(["stream", "list", url]))), [
    ["clicks", "1 partitions", "2 records", "counting"],
  ]);
  assert.deepEqual(rows(good(await runHere(["stream", "inspect", url, "clicks"])))[1]?.slice(0, 2), ["counting", "1"]);
  assert.match(
    good(await runHere(["stream", "parked", url, "clicks", "counting"])),
    /^0\/0\t.*\tann\t\{"page":"\/"\}\tError: no counter\n$/,
  );
  assert.equal(good(await runHere(["stream", "redrive", url, "clicks", "counting"])), "1\n");
  assert.equal((await runHere(["stream", "reset", url, "clicks", "counting", "--to", "start"])).code, 2);
  const reset = good(await runHere(["stream", "reset", url, "clicks", "counting", "--to", "start", "--yes"]));
  assert.deepEqual(rows(reset)[1], ["0", "0", "3"]);
  const seen = json(good(await runHere(["stream", "tail", url, "clicks", "--from", "1", "--limit", "2", "--json"])));
  assert.deepEqual(
    seen.map(({ offset, key, value }) => [offset, key, value]),
    [
      [1, "bob", 2],
      [2, "ann", { page: "/" }],
    ],
  );
  assert.equal((await runHere(["stream", "inspect", url, "clicks", "nobody"])).code, 1);
  good(await runHere(["stream", "delete", url, "clicks", "counting", "--yes"]));
  assert.equal(good(await runHere(["stream", "inspect", url, "clicks"])), "");
});

test("ashlar events shows stores, streams and projections, appends and truncates", async () => {
  const url = `sqlite:${join(folder, "events.db")}`;
  const deposit = '{"type":"deposited","amount":5}';
  assert.equal(good(await runHere(["events", "append", url, "accounts", "acc-1", deposit])), "1\n");
  assert.equal(good(await runHere(["events", "append", url, "accounts", "acc-1", deposit, "--expected", "1"])), "2\n");
  const refused = await runHere(["events", "append", url, "accounts", "acc-1", deposit, "--expected", "none"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /at version 2/);
  {
    await using engine = await connect(url);
    await using store = createEventStore(engine, "accounts", { initial: () => 0, evolve: (sum: number) => sum });
    await using sums = store.project("sums", () => {});
    await sums.waitFor(1);
  }
  good(await runHere(["events", "append", url, "accounts", "acc-2", deposit, "--expected", "none"]));
  assert.deepEqual(rows(good(await runHere(["events", "list", url]))), [["accounts", "3 events"]]);
  assert.deepEqual(rows(good(await runHere(["events", "inspect", url, "accounts"])))[2], ["sums", "1", "2", "1"]);
  const read = json(good(await runHere(["events", "read", url, "accounts", "acc-1", "--from", "2", "--json"])));
  assert.deepEqual(
    read.map(({ version, data }) => [version, data.amount]),
    [[2, 5]],
  );
  const seen = good(await runHere(["events", "tail", url, "accounts", "--from", "1", "--limit", "2"]));
  assert.deepEqual(
    rows(seen).map(([position, , stream]) => [position, stream]),
    [
      ["1", "acc-1"],
      ["2", "acc-2"],
    ],
  );
  assert.equal((await runHere(["events", "truncate", url, "accounts", "acc-1", "--before", "2"])).code, 2);
  good(await runHere(["events", "truncate", url, "accounts", "acc-1", "--before", "2", "--yes"]));
  assert.equal(rows(good(await runHere(["events", "read", url, "accounts", "acc-1"]))).length, 1);
  assert.equal((await runHere(["events", "read", url, "accounts", "nobody"])).code, 1);
});
