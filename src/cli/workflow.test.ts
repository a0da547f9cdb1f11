import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  createWorkflows,
  defineQuery,
  defineSignal,
  defineUpdate,
  defineWorkflow,
  FatalError,
} from "../durable/workflow/index.ts";
import { connect } from "../index.ts";
import { type Outcome, runHere } from "./testing/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "ashlar-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function good({ code, stdout, stderr }: Outcome): string {
  assert.deepEqual([code, stderr], [0, ""], stdout);
  return stdout;
}

test("ashlar workflow shows runs, talks to them, ends them and has them tried again", async () => {
  const url = `sqlite:${join(folder, "workflow.db")}`;
  const Go = defineSignal<string>("go");
  let broken = true;
  const wait = defineWorkflow("wait", async (ctx, to: string) => {
    let name = to;
    ctx.handle(defineQuery("who"), () => name);
    ctx.handle(defineUpdate<string, string>("rename"), (next) => {
      const before = name;
      name = next;
      return before;
    });
    await ctx.setAttributes({ to });
    await ctx.step("greet", () => `hello ${to}`);
    return await ctx.waitFor(Go);
  });
  const fix = defineWorkflow("fix", async (ctx) => {
    const saga = ctx.saga();
    await saga.step("do", () => {}, {
      undo: () => {
        if (broken) throw new FatalError("jammed");
      },
    });
    throw new Error("no more");
  });
  assert.equal(good(await runHere(["workflow", "list", url])), "");
  await using engine = await connect(url);
  const workflows = createWorkflows(engine, [wait, fix], { shards: 2 });
  await using _worker = workflows.work();
  const one = await workflows.start(wait, "ann", { id: "one" });
  await workflows.start(wait, "bob", { id: "two" });
  const three = await workflows.start(wait, "eve", { id: "three" });
  const jammed = await workflows.start(fix, undefined, { id: "jam" });
  while (
    (await jammed.info())?.status !== "stuck" ||
    (await one.history()).length < 2 ||
    (await three.history()).length < 2
  )
    await new Promise((resolve) => setTimeout(resolve, 5));

  assert.equal(good(await runHere(["workflow", "query", url, "one", "who"])), '"ann"\n');
  assert.equal(good(await runHere(["workflow", "update", url, "one", "rename", '"anna"'])), '"ann"\n');
  assert.equal(good(await runHere(["workflow", "query", url, "one", "who"])), '"anna"\n');
  assert.match(good(await runHere(["workflow", "list", url, "--attribute", "to=eve"])), /^run[^\n]+\nthree[^\n]+\n$/);
  assert.equal((await runHere(["workflow", "list", url, "--attribute", "to"])).code, 2);
  assert.equal(good(await runHere(["workflow", "pause", url, "two"])), "paused\n");
  assert.equal(good(await runHere(["workflow", "resume", url, "two"])), "resumed\n");
  assert.equal(good(await runHere(["workflow", "resume", url, "two"])), "it is not paused\n");
  assert.equal((await runHere(["workflow", "reset", url, "two", "--events", "0"])).code, 2);
  good(await runHere(["workflow", "reset", url, "two", "--events", "0", "--yes"]));

  assert.match(good(await runHere(["workflow", "list", url])), /jam +fix +stuck.*one +wait +open.*two +wait +open/s);
  assert.match(good(await runHere(["workflow", "list", url, "--status", "stuck"])), /^run[^\n]+\njam[^\n]+\n$/);
  assert.match(good(await runHere(["workflow", "show", url, "one"])), /input +"ann"\n.*1 .* step +greet +"hello ann"/s);
  const told = JSON.parse(good(await runHere(["workflow", "show", url, "jam", "--json"])));
  assert.match(told.error.message, /jammed/);

  good(await runHere(["workflow", "signal", url, "one", "go", '"now"']));
  assert.equal(await one.result(), "now");
  good(await runHere(["workflow", "cancel", url, "two", "enough"]));
  await assert.rejects(workflows.run("two").result(), /cancelled.*enough/);
  assert.equal((await runHere(["workflow", "terminate", url, "three"])).code, 2);
  assert.equal(good(await runHere(["workflow", "terminate", url, "three", "--yes"])), "terminated\n");
  await assert.rejects(three.result(), /terminated/);
  broken = false;
  assert.equal(good(await runHere(["workflow", "retry", url, "jam"])), "tried again\n");
  await assert.rejects(jammed.result(), /no more/);
  assert.equal((await runHere(["workflow", "show", url, "nobody"])).code, 1);
  assert.equal((await runHere(["workflow", "list", url, "--status", "odd"])).code, 2);
});
