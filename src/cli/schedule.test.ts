import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createSchedule } from "../durable/schedule/index.ts";
import { connect } from "../index.ts";
import { type Outcome, runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function good({ code, stdout, stderr }: Outcome): string {
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

test("ashlar schedule shows schedules, makes runs, and holds them up", async () => {
  const url = `sqlite:${join(folder, "schedule.db")}`;
  assert.equal(good(await runHere(["schedule", "list", url])), "");
  await using engine = await connect(url);
  const seen: unknown[] = [];
  await using yearly = createSchedule(engine, "yearly", { cron: "0 0 1 1 *" }, ({ time, kind, data }) => {
    seen.push(data ?? time);
    if (kind === "manual" && data === undefined) throw new Error("not by hand");
  });
  await using _ = createSchedule(engine, "never", { every: "1h", until: 0 }, () => {});
  await yearly.info();
  await _.info();

  assert.match(
    good(await runHere(["schedule", "list", url])),
    /never +every 3600000 ms UTC +never.*yearly +0 0 1 1 \* UTC/s,
  );
  assert.match(good(await runHere(["schedule", "show", url, "yearly"])), /next +\d{4}-01-01T00:00:00.000Z\n.*0 begun/s);
  const next = good(await runHere(["schedule", "next", url, "yearly", "--limit", "2"]))
    .trimEnd()
    .split("\n");
  assert.equal(next.length, 2);
  assert.equal(good(await runHere(["schedule", "pause", url, "yearly"])), "paused\n");
  assert.equal(JSON.parse(good(await runHere(["schedule", "show", url, "yearly", "--json"]))).paused, true);
  assert.equal(good(await runHere(["schedule", "resume", url, "yearly"])), "resumed\n");

  good(await runHere(["schedule", "run", url, "yearly", '{"by":"hand"}']));
  const stretch = ["--from", "2024-01-01T00:00:00Z", "--to", "2025-06-01T00:00:00Z"];
  assert.equal((await runHere(["schedule", "backfill", url, "yearly", ...stretch])).code, 2);
  assert.equal(good(await runHere(["schedule", "backfill", url, "yearly", ...stretch, "--yes"])), "2 runs\n");
  while ((await yearly.history()).length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(seen, [{ by: "hand" }, Date.UTC(2024, 0, 1), Date.UTC(2025, 0, 1)]);
  assert.match(
    good(await runHere(["schedule", "history", url, "yearly"])),
    /manual +done.*2025-01-01T00:00:00.000Z +backfill +done.*2024-01-01T00:00:00.000Z +backfill +done/s,
  );

  assert.equal((await runHere(["schedule", "show", url, "nothing"])).code, 1);
  assert.equal((await runHere(["schedule", "show", url])).code, 2);
  assert.equal((await runHere(["schedule", "forget", url])).code, 2);
  const bad = await runHere(["schedule", "backfill", url, "yearly", "--from", "then", "--to", "now", "--yes"]);
  assert.match(bad.stderr, /--from: given then/);
});
