import { systemRuntime } from "../../core/index.ts";
import { connect } from "../../index.ts";
import { createRateLimiter } from "../index.ts";
import type { Order, Report } from "./takers.ts";

/** A process of its own that takes from one key as fast as it can, as ordered. */
process.once("message", (order: Order) => void work(order));
process.send?.("ready");

async function work({ url, name, options, forMs, takes, lanes }: Order): Promise<void> {
  const engine = await connect(url);
  const limiter = createRateLimiter(engine, name, options);
  process.send?.("connected");
  await new Promise((resolve) => process.once("message", resolve));
  let [allowed, attempts] = [0, 0];
  const from = await engine.now();
  const { clock, timers } = systemRuntime;
  const start = clock.monotonic();
  let firstMs: number | undefined;
  const lane = async (): Promise<void> => {
    while (attempts < takes && clock.monotonic() - start < forMs) {
      attempts++;
      if ((await limiter.take("hot")).allowed) allowed++;
      firstMs ??= clock.monotonic() - start;
      // A turn of the event loop now and then, as any program has.
      if (attempts % 1024 === 0) await new Promise<void>((resolve) => void timers.immediate(resolve));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const tookMs = clock.monotonic() - start;
  const to = await engine.now();
  await limiter.close();
  await engine.close();
  process.send?.({ allowed, attempts, from, to, tookMs, firstMs: firstMs ?? tookMs } satisfies Report, () =>
    process.disconnect(),
  );
}
