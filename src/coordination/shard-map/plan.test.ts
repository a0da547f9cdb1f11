import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Version } from "../../engine/index.ts";
import type { MemberEntry, Party } from "./keys.ts";
import { type PlanInput, plan, toParty } from "./plan.ts";
import { MapState } from "./state.ts";

const version = "v" as Version;
const shards = 12;

/** Any state that the commits of the map can leave behind: owners who live, died or left; wishes of now and of before. */
const inputs: fc.Arbitrary<PlanInput> = fc
  .record({
    members: fc.array(fc.record({ weight: fc.integer({ min: 0, max: 3 }), alive: fc.boolean(), gone: fc.boolean() }), {
      minLength: 1,
      maxLength: 6,
    }),
    shards: fc.array(fc.record({ owner: fc.nat(7), wanted: fc.nat(12), old: fc.boolean() }), { maxLength: shards }),
  })
  .map((given) => {
    const state = new MapState();
    const entries = given.members.map(({ weight }, i): MemberEntry => ({ worker: `w${i}`, lease: `l${i}`, weight }));
    const parties = entries.map((entry, i): Party => toParty(`m${i}`, entry));
    entries.forEach((value, i) => {
      if (!given.members[i]?.gone) state.members.set(`m${i}`, { value, version });
    });
    given.shards.forEach(({ owner, wanted, old }, n) => {
      const by = parties[owner];
      state.shards.set(n, { value: { epoch: 3, ...(by && { owner: by }) }, version });
      const to = parties[wanted];
      if (to) state.wanted.set(n, { value: { ...to, epoch: old ? 2 : 3 }, version });
    });
    const alive = new Set(given.members.flatMap((member, i) => (member.alive ? [`l${i}`] : [])));
    return { state, shards, lives: (lease: string) => alive.has(lease) };
  });

/** What the commits do, and what living owners do when they are asked. */
function carryOut({ state }: PlanInput, steps: ReturnType<typeof plan>): void {
  for (const step of steps) {
    if (step.kind === "bury") state.members.delete(step.member);
    else if (step.kind === "withdraw") state.wanted.delete(step.shard);
    else {
      const epoch = (state.shards.get(step.shard)?.value.epoch ?? 0) + 1;
      state.shards.set(step.shard, { value: { owner: step.to, epoch }, version });
      state.wanted.delete(step.shard);
    }
  }
}

test("one round leads to a state in which nothing is left to do", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      carryOut(input, plan(input));
      const left = plan(input);
      // Wishes of earlier ownerships stay where they are until their shard moves: they count for nothing.
      assert.deepEqual(
        left.filter(({ kind }) => kind !== "withdraw"),
        [],
      );
      carryOut(input, left);
      assert.deepEqual(plan(input), []);
    }),
  );
});

test("only the dead are buried and disowned, and only members that live are given something", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { state, lives } = input;
      for (const step of plan(input)) {
        if (step.kind === "bury") assert.ok(!lives(state.members.get(step.member)?.value.lease as string));
        if (step.kind === "assign" || step.kind === "ask") {
          assert.ok(state.members.has(step.to.member) && lives(step.to.lease));
          const owner = state.shards.get(step.shard)?.value.owner;
          assert.equal(step.kind === "ask", owner !== undefined && lives(owner.lease));
        }
      }
    }),
  );
});

test("what is on its way is not asked for again", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const steps = plan(input);
      for (const step of steps) {
        if (step.kind !== "ask") continue;
        const epoch = input.state.shards.get(step.shard)?.value.epoch as number;
        input.state.wanted.set(step.shard, { value: { ...step.to, epoch }, version });
      }
      carryOut(
        input,
        steps.filter(({ kind }) => kind !== "ask"),
      );
      assert.deepEqual(
        plan(input).filter(({ kind }) => kind === "ask" || kind === "assign"),
        [],
      );
    }),
  );
});
