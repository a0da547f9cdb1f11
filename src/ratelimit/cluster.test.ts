import assert from "node:assert/strict";
import { test } from "node:test";
import { storeKinds } from "../../test/stores.ts";
import { runTakers } from "./testing/takers.ts";

const processes = 4;

for (const kind of storeKinds.filter(({ name }) => name !== "memory")) {
  test(`four processes on one key (${kind.name}), exact: the limit, and not one more`, {
    skip: kind.skip,
  }, async () => {
    await using store = await kind.create();
    const order = { url: store.url as string, name: "exact", forMs: 20_000, takes: 60, lanes: 8 };
    for (const algorithm of ["token-bucket", "fixed-window"] as const) {
      const options = { limit: 160, per: "365d", algorithm, rememberRefusals: 0 } as const;
      const reports = await runTakers(processes, { ...order, name: algorithm, options });
      assert.equal(total(reports, "attempts"), 240);
      assert.equal(total(reports, "allowed"), 160, algorithm);
    }
  });

  test(`four processes on one key (${kind.name}), exact: burst and refill, and hardly less`, {
    skip: kind.skip,
  }, async () => {
    await using store = await kind.create();
    const options = { limit: 200, per: "1s", burst: 200, rememberRefusals: 0 } as const;
    const order = { url: store.url as string, name: "refill", options, forMs: 1_200, takes: 1e9, lanes: 4 };
    const reports = await runTakers(processes, order);
    const allowed = total(reports, "allowed");
    const from = Math.min(...reports.map((report) => report.from));
    const to = Math.max(...reports.map((report) => report.to));
    const most = options.burst + ((to - from) * options.limit) / 1000;
    assert.ok(allowed <= most, `${allowed} allowed, ${most} at most`);
    // From the first take on, while all are at it, demand is far above the rate, and nothing that the bucket gains is lost.
    const first = Math.min(...reports.map((report) => report.from + report.firstMs));
    const last = Math.min(...reports.map((report) => report.from + report.tookMs));
    const least = options.burst + ((last - first) * options.limit) / 1000 - 1 - processes * order.lanes;
    assert.ok(allowed >= least, `${allowed} allowed, ${least} at least`);
  });

  test(`four processes on one key (${kind.name}), leased: never more, and less only by what lies idle`, {
    skip: kind.skip,
  }, async () => {
    await using store = await kind.create();
    const maxChunk = 50;
    const life = "365d";
    const options = { limit: 4_000, per: "3650d", mode: "leased", lease: { life, maxChunk } } as const;
    const order = { url: store.url as string, name: "leased", options, forMs: 20_000, takes: 1_200, lanes: 8 };
    const reports = await runTakers(processes, order);
    const allowed = total(reports, "allowed");
    const capacity = 4_000 - 400;
    assert.equal(total(reports, "attempts"), 4_800);
    assert.ok(allowed <= capacity, `${allowed} allowed, ${capacity} at most`);
    // A process holds one chunk and may have asked for the next.
    assert.ok(allowed >= capacity - processes * 2 * maxChunk, `${allowed} allowed of ${capacity}`);
  });
}

function total(
  reports: readonly { readonly allowed: number; readonly attempts: number }[],
  field: "allowed" | "attempts",
) {
  return reports.reduce((sum, report) => sum + report[field], 0);
}
