import assert from "node:assert/strict";
import { sleep, systemRuntime } from "../../../core/index.ts";

/** Asks again and again, for 20 seconds at most. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const { clock } = systemRuntime;
  const end = clock.monotonic() + 20_000;
  while (!(await holds())) {
    assert.ok(clock.monotonic() < end, "it does not come to it");
    await sleep(systemRuntime, 2);
  }
}
